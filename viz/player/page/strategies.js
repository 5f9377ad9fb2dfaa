// Strategies: each is its matrix M or, where no M describes it, one of the recorded sources.

const LABELS = { full: "Full", subsequence: "Subsequence", window: "Window", tbptt: "TBPTT", randomized: "Randomized", hand: "By hand" };
const KINDS = Object.keys(LABELS);
const BY_LINKS = ["full", "subsequence", "randomized", "hand"], BY_LENGTH = ["subsequence", "window", "tbptt"];
const offered = (kind) => T > 1 && kind in LABELS && (chain || BY_LINKS.includes(kind));
const least = (kind) => (kind === "window" ? 0 : 1), most = (kind) => (kind === "window" || !chain ? T - 1 : T); // of k

/** The current strategy: M, ξ of the link into each row, and the source where M does not apply. */
const strategy = { M: [], links: [], source: 0 };

/** A generator of numbers in [0, 1), the same for the same seed (Mulberry32). */
function generator(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** f(t), the earliest step that the loss at step t reaches. */
const EARLIEST = {
  window: (t) => Math.max(0, t - state.k),
  tbptt: (t) => Math.max(0, (Math.floor(t / state.k) + 1) * state.k - state.k2),
};

/** ξ of the link into each row; the initial state is never cut. */
function linksOf(kind) {
  const draw = generator(1 + state.seed);
  return Array.from({ length: T }, (_, t) => {
    if (t === 0) return 1;
    if (kind === "subsequence") return t % state.k ? 1 : 0;
    if (kind === "randomized") return draw() < state.keep ? 1 / state.keep : 0;
    return kind === "hand" && state.cuts.has(t) ? 0 : 1;
  });
}

function renewStrategy() {
  const { kind } = state;
  if (kind === "tbptt") state.k2 = Math.max(state.k, state.k2);
  strategy.links = linksOf(kind);
  if (!chain) return chooseSource(kind);
  strategy.M = [];
  for (let t = 0; t < T; t++) {
    const row = new Float64Array(T);
    row[t] = 1;
    const f = EARLIEST[kind]?.(t);
    for (let s = t - 1; s >= 0; s--) row[s] = f === undefined ? row[s + 1] * strategy.links[s + 1] : +(s >= f);
    strategy.M.push(row);
  }
}

/** Without M, every strategy was recorded. This is the one chosen by the controls. */
function chooseSource(kind) {
  const named = (label) => D.sources.findIndex((source) => source.label === label);
  const draws = D.sources.flatMap((s, i) => (s.label?.startsWith("R") ? [i] : []));
  const [cut] = state.cuts;
  const found = {
    full: 0,
    subsequence: named(`Subsequence(${state.k})`),
    randomized: draws[state.seed % draws.length],
    hand: cut === undefined ? 0 : named(`cut ${cut}`),
  }[kind];
  strategy.source = found > 0 ? found : 0;
  strategy.links = D.sources[strategy.source].links ?? Array(T).fill(1);
}

/** The strategy's expression in a program. */
function called() {
  return {
    full: "Full()",
    subsequence: `Subsequence(${state.k})`,
    window: `Window(${state.k})`,
    tbptt: `TBPTT(${state.k}, ${state.k2})`,
    randomized: `Randomized(${state.keep})`,
    hand: "Your cuts",
  }[state.kind];
}

/** The strategy in words. */
function inWords() {
  const steps = (n) => `${n} ${n === 1 ? "step" : "steps"}`;
  const only = chain ? "" : ` No Window or TBPTT: ${D.why}, so no matrix over losses and steps describes these.`;
  return {
    full: "every loss, back to the beginning",
    subsequence: `a cut after every ${steps(state.k)}`,
    window: `every loss looks back ${state.k} ${state.k === 1 ? "link" : "links"}`,
    tbptt: `every ${steps(state.k)}, back ${steps(state.k2)}`,
    randomized: chain ? "links survive with probability π and count 1/π" : `draw ${1 + (state.seed % 4)} of 4`,
    hand: state.cuts.size ? "click a cut link to mend it" : "click a link between two steps to cut it",
  }[state.kind] + "." + only;
}
