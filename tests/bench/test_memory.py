"""The memory bench: the plane's sums are exact, the process's figures are there."""

from __future__ import annotations

import pytest

from bench.conditions import conditions
from bench.memory import FIGURES, MemorySettings, Shape, measure_memory
from bench.report import as_json
from rtpfwd.memory import memory_report
from rtpfwd.params import (
    CodecParams,
    CongestionParams,
    ConsumerParams,
    EncodingParams,
    PayloadMapping,
    ProducerParams,
    SrtpProfile,
)
from rtpfwd.plane import Plane
from tests.bench import reports

CODEC = CodecParams(96, "video/vp8", 90000, rtx_payload_type=97, nack=True, pli=True)


def test_what_is_added_is_in_the_report_and_what_is_removed_is_not():
    plane = Plane(max_transports=16, max_streams=64)
    empty = memory_report(plane)
    sizes = empty["sizes"]
    assert empty["transports"] == dict.fromkeys(
        ("count", "structs", "srtp_windows", "feedback", "pacers", "congestion"), 0
    )
    transport = plane.add_transport(srtp=True)
    producer = plane.add_producer(
        transport, ProducerParams("video", (CODEC,), (EncodingParams(ssrc=1), EncodingParams(ssrc=2)), mid="0")
    )
    for number in range(3):
        plane.add_consumer(
            transport, producer, ConsumerParams(10 + number, (PayloadMapping(96, 96, 97),), rtx_ssrc=20 + number), 0
        )
    full = memory_report(plane)
    assert full["transports"]["structs"] == sizes["Transport"]
    assert (full["producers"]["count"], full["producers"]["encodings"]) == (1, 2)
    assert full["producers"]["streams"] == 2 * sizes["Encoding"]
    assert full["consumers"]["structs"] == 3 * sizes["Consumer"]
    assert full["consumers"]["sent_rings"] % (3 * sizes["Sent"]) == 0
    assert full["fixed"] == empty["fixed"]
    plane.set_keys(transport, SrtpProfile.AEAD_AES_128_GCM, bytes(28), bytes(28))
    assert memory_report(plane)["transports"]["srtp_windows"] > 0
    plane.admit(transport, 0, ("udp", "127.0.0.1", 5))
    assert memory_report(plane)["transports"]["structs"] > sizes["Transport"]
    plane.control_congestion(transport, CongestionParams(300_000, 30_000, 5_000_000), 0)
    controlled = memory_report(plane)["transports"]
    assert 0 < controlled["pacers"] < controlled["congestion"] < 3000
    plane.remove_transport(transport)
    gone = memory_report(plane)
    for part in ("transports", "producers", "consumers"):
        assert set(gone[part].values()) == {0}


def test_a_consumer_without_retransmission_keeps_nothing_to_send_again():
    plane = Plane(max_transports=16, max_streams=64)
    transport = plane.add_transport(srtp=False)
    producer = plane.add_producer(transport, ProducerParams("video", (CODEC,), (EncodingParams(ssrc=1),), mid="0"))
    plane.add_consumer(transport, producer, ConsumerParams(10, (PayloadMapping(96, 96),)), 0)
    assert memory_report(plane)["consumers"]["sent_rings"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "transports"), [("viewers", 8), ("transports", 10), ("consumers", 24)])
async def test_every_shape_is_measured(shape: Shape, transports: int):
    (run,) = await measure_memory(MemorySettings(shape=shape, consumers=6))
    given = {figure.key for figure in FIGURES} - {"slope_kib_per_minute"}
    assert [key for key in given if run.figures[key] is None] == []
    # Beside the six consumers there is one that was added before the first figure.
    assert (run.figures["consumers"], run.figures["transports"]) == (7, transports)
    assert (run.figures["plane_per_unit_kib"] or 0) > 1
    reports.check(as_json("memory", {}, conditions(), [run]))


@pytest.mark.slow
async def test_growth_is_a_slope_over_the_time_asked_for():
    (run,) = await measure_memory(MemorySettings(consumers=2, minutes=0.02))
    assert run.figures["slope_kib_per_minute"] is not None
    assert (run.figures["media_minutes"] or 0) >= 0.02


@pytest.mark.slow
async def test_what_adaptation_takes_is_a_part_of_the_transport():
    figures = [
        (await measure_memory(MemorySettings(consumers=2, adaptation=adaptation)))[0].figures
        for adaptation in (False, True)
    ]
    taken = [each["adaptation_kib"] or 0 for each in figures]
    more = (figures[1]["transport_kib"] or 0) - (figures[0]["transport_kib"] or 0)
    assert taken[0] == 0 < taken[1]
    assert more == pytest.approx(taken[1])
