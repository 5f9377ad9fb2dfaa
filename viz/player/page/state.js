// The state of the page. Its address holds the state, so a link shows the same view.

const state = {
  kind: "full", k: 2, k2: 3, keep: 0.65, seed: 0, cuts: new Set(),
  move: 0, playing: false, picked: null, pointed: null, link: null,
};

function readAddress(address) {
  const given = new URLSearchParams(address.split("#")[1]);
  const number = (key, low, high, otherwise) => {
    const value = Number(given.get(key));
    return given.has(key) && Number.isFinite(value) ? Math.max(low, Math.min(high, value)) : otherwise;
  };
  if (offered(given.get("s"))) state.kind = given.get("s");
  state.k = Math.round(number("k", least(state.kind), T, Math.min(2, T)));
  state.k2 = Math.round(number("k2", 1, T, Math.min(3, T)));
  state.keep = number("p", 0.05, 1, 0.65);
  state.seed = Math.round(number("seed", 0, 1e9, 0));
  state.move = Math.round(number("f", 0, LAST, 0));
  const picked = number("pick", 0, shapes.length - 1, -1);
  state.picked = picked < 0 ? null : Math.round(picked);
  state.cuts = new Set((given.get("cut") ?? "").split(",").map(Number).filter((t) => t > 0 && t < T));
  return given.get("theme");
}

function writeAddress() {
  const parts = { s: state.kind, f: state.move };
  if (BY_LENGTH.includes(state.kind)) parts.k = state.k;
  if (state.kind === "tbptt") parts.k2 = state.k2;
  if (state.kind === "randomized") Object.assign(parts, { p: state.keep, seed: state.seed });
  if (state.kind === "hand") parts.cut = [...state.cuts].sort((a, b) => a - b).join(",");
  if (state.picked != null) parts.pick = state.picked;
  const hash = "#" + Object.entries(parts).map(([key, value]) => `${key}=${value}`).join("&");
  try { history.replaceState(null, "", hash); } catch { /* a frame without an address */ }
}
