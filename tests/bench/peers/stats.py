"""Statistics of interleaved runs. Pure: no file, no clock."""

import statistics


def median(values):
    return statistics.median(values)


def mad(values):
    """Median absolute deviation from the median: half of the values lie within it."""
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values)


def nearest_rank(values, quantile):
    """The smallest value with at least `quantile` of the values at or below it; 0 for none (as `bitrate bench`)."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -(-quantile * len(ordered) // 1)
    return ordered[min(max(int(rank), 1), len(ordered)) - 1]


def order(sides, pair):
    """A B C in even pairs, C B A in odd ones: drift of the machine hits all sides alike."""
    return list(sides) if pair % 2 == 0 else list(reversed(sides))


def ratios(runs, ours, theirs, figure):
    """ours / theirs, pair by pair. `runs` maps (side, pair) to {figure: value}; a pair counts only where both have it."""
    found = []
    for side, pair in sorted(runs):
        if side != ours or (theirs, pair) not in runs:
            continue
        mine, peer = runs[(ours, pair)].get(figure), runs[(theirs, pair)].get(figure)
        if mine and peer:
            found.append(mine / peer)
    return found


def of_side(runs, side, figure):
    """The values of one side over the pairs."""
    return [figures[figure] for (name, _), figures in sorted(runs.items()) if name == side and figures.get(figure)]
