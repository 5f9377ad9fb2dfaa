"""The variance of randomized truncation, over fewer draws."""

from concurrent.futures import ThreadPoolExecutor

from examples.variance_of_truncation import spread


def test_the_mean_is_right_and_the_noise_grows():
    with ThreadPoolExecutor(1) as one:
        found = {keep: spread(keep, 300, one) for keep in (0.9, 0.6)}
    assert 0 < found[0.9].noise < found[0.6].noise
    assert all(0 < distance < 2 for _, distance in found.values())
    with ThreadPoolExecutor(3) as three:
        assert spread(0.9, 300, three) == found[0.9]
