"""What a node's configuration says about its lanes' threads."""

from __future__ import annotations

import os

import pytest

from server.config import MediaConfig
from server.errors import LocalError

CPUS = sorted(os.sched_getaffinity(0))


def test_one_cpu_for_each_lane():
    assert MediaConfig(lanes=1, lane_cpus=(CPUS[0],)).lane_cpus == (CPUS[0],)
    assert MediaConfig(lanes=2, lane_cpus=(CPUS[0], CPUS[-1])).lane_count == 2
    assert MediaConfig(coalesce_us=200).coalesce_us == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lanes": 2, "lane_cpus": (CPUS[0],)}, "lane_cpus: names 1 CPU.* for 2 lane"),
        ({"lanes": 1, "lane_cpus": (CPUS[-1] + 1000,)}, "lane_cpus: this process may not run on CPU"),
        ({"coalesce_us": 201}, "coalesce_us: 201"),
        ({"coalesce_us": -1}, "coalesce_us: -1"),
    ],
)
def test_what_cannot_be_right_is_refused(options, words):
    with pytest.raises(LocalError, match=words):
        MediaConfig(**options)
