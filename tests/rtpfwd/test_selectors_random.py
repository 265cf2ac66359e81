"""Any structure, link and sequence of targets: a viewer never gets a frame that it can't decode and the node could."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rtpfwd.selector_world import Structure, World

STRUCTURES = (
    *(Structure(encodings, 1, temporal) for encodings in (1, 2, 3) for temporal in (1, 2, 3)),
    *(Structure(1, spatial, temporal, mode) for spatial in (2, 3) for temporal in (1, 2, 3) for mode in "LKS"),
    *(
        Structure(1, spatial, temporal, mode, descriptor=True)
        for spatial in (2, 3)
        for temporal in (1, 3)
        for mode in "LK"
    ),
)


def disturb(world: World, rng: random.Random, share: float) -> None:
    """Perhaps another target, a part of the sender that falls silent or comes back, or a new beginning."""
    if rng.random() >= share:
        return
    what = rng.random()
    if what < 0.5:
        world.choosing.set_target(rng.randrange(-1, 4), rng.randrange(-1, 3))
    elif what < 0.9:
        encoder = rng.choice(world.encoders)
        lowest = 0 if world.structure.encodings > 1 else 1
        encoder.on = rng.choice((lowest, 1, 2, 8))
    elif what < 0.95:
        world.answers_keyframes = not world.answers_keyframes
    else:
        world.reset()


def settle(world: World, target: tuple[int, int]) -> None:
    """With everything on and a clean link the target is reached within 4 s, and nothing else is sent then."""
    structure = world.structure
    world.loss = world.late = 0.0
    world.answers_keyframes = True
    for encoder in world.encoders:
        encoder.on, encoder.sync = 8, 0.4
    world.choosing.set_target(*target)
    world.run(150)
    tops = max(structure.encodings, structure.spatial) - 1, structure.temporal - 1
    wanted = tuple(top if layer < 0 else min(layer, top) for layer, top in zip(target, tops, strict=True))
    assert world.choosing.current == wanted
    assert not world.choosing.wants_keyframe
    flowing = world.flowing_layers(12)
    if structure.encodings > 1:
        assert {layer[0] for layer in flowing} == {wanted[0]}
    else:
        lowest = 0 if structure.mode == "L" else wanted[0]
        assert {layer[1] for layer in flowing} == set(range(lowest, wanted[0] + 1))
    assert {layer[2] for layer in flowing} == set(range(wanted[1] + 1))


def explore(structure: Structure, seed: int, pictures: int, loss: float, late: float, share: float) -> None:
    rng = random.Random(seed)
    world = World(structure, seed, loss=loss, late=late)
    world.choosing.set_target(rng.randrange(-1, 4), rng.randrange(-1, 3))
    world.run(pictures, lambda: disturb(world, rng, share))
    lossy = bool(loss or late)
    settle(world, (rng.randrange(-1, 4), rng.randrange(-1, 3)))
    if lossy:
        world.loss, world.late = loss, late  # for the bounds of the check
    world.flush()
    world.check()
    if not lossy:
        world.check_markers()


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(STRUCTURES),
    st.integers(0, 2**32),
    st.integers(1, 250),
    st.sampled_from([0.0, 0.02, 0.2]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([0.02, 0.2]),
)
def test_any_structure_link_and_targets(
    structure: Structure, seed: int, pictures: int, loss: float, late: float, share: float
) -> None:
    explore(structure, seed, pictures, loss, late, share)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_a_long_run_of_each(structure: Structure) -> None:
    explore(structure, 7, 1500, 0.03, 0.05, 0.03)
