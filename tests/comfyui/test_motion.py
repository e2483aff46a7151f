"""The camera of Reverie Zoom: exact, and the same at any frame rate."""

from __future__ import annotations

import cmath
import math

import pytest
import torch

from reverie_comfyui.motion import Motion, Move, warp

CAMERA = Motion(zoom=1.7, rotation=25, shift_x=40, shift_y=-15)


def close(one: Move, other: Move) -> bool:
    return cmath.isclose(one.turn, other.turn, rel_tol=1e-12) and cmath.isclose(
        one.shift, other.shift, rel_tol=1e-12, abs_tol=1e-12
    )


def run(camera: Motion, fps: float, frames: int) -> Move:
    total = Move(1, 0)
    for k in range(1, frames + 1):
        total = total.then(camera.between((k - 1) / fps, k / fps))
    return total


def test_after_a_second_the_camera_has_done_what_was_asked() -> None:
    assert Motion(zoom=2).after(1).turn == pytest.approx(2)
    assert Motion(rotation=90).after(1).turn == pytest.approx(1j)  # y goes down: clockwise
    assert Motion(shift_x=30, shift_y=7).after(2).shift == pytest.approx(60 + 14j)


@pytest.mark.parametrize("fps", [1, 12, 23.976, 24, 60, 1000 / 7])
def test_frames_add_up_to_the_motion_at_their_time(fps: float) -> None:
    frames = round(3 * fps)
    assert close(run(CAMERA, fps, frames), CAMERA.after(frames / fps))


def test_another_frame_rate_shows_the_same_motion() -> None:
    assert close(run(CAMERA, 24, 48), run(CAMERA, 60, 120))


@pytest.mark.parametrize("zoom", [1 + 1e-9, 1 - 1e-13, 1 + 1e-16])
def test_a_zoom_that_is_almost_none_shifts_as_none_does(zoom: float) -> None:
    slow = Motion(zoom=zoom, shift_x=100).after(1)
    assert cmath.isclose(slow.shift, Motion(shift_x=100).after(1).shift, rel_tol=1e-8)


def test_going_back_undoes_a_move() -> None:
    move = CAMERA.after(0.3)
    assert close(move.then(move.back()), Move(1, 0))


def test_a_camera_at_rest_keeps_every_bit() -> None:
    picture = torch.rand(1, 3, 9, 14)
    assert torch.equal(warp(picture, Motion().between(3, 4)), picture)


def test_a_shift_by_whole_pixels_moves_them_exactly() -> None:
    picture = torch.rand(1, 3, 30, 40)
    moved = warp(picture, Move(1, 5 + 2j))
    assert torch.allclose(moved[:, :, 4:, 7:-2], picture[:, :, 2:-2, 2:-7], atol=1e-5)


def test_a_quarter_turn_is_clockwise() -> None:
    picture = torch.rand(1, 3, 32, 32)
    moved = warp(picture, Move(1j, 0))
    assert torch.allclose(moved, picture.rot90(-1, (2, 3)), atol=1e-4)


def test_a_zoom_enlarges_about_the_centre() -> None:
    column = torch.linspace(-1, 1, 41)
    picture = (column[None, :] * 0.2 + 0.5).expand(1, 3, 41, 41)
    moved = warp(picture, Motion(zoom=2).after(1))
    assert moved[0, 0, 20, 20].item() == pytest.approx(0.5, abs=1e-6)
    assert moved[0, 0, 20, 30].item() == pytest.approx(picture[0, 0, 20, 25].item(), abs=1e-4)


def test_the_edges_that_come_in_are_mirrored() -> None:
    picture = torch.rand(1, 1, 20, 20)
    moved = warp(picture, Move(1, 4 + 0j))
    assert torch.allclose(moved[..., :4], picture[..., :4].flip(3), atol=1e-4)


def test_nothing_leaves_0_to_1() -> None:
    picture = (torch.rand(2, 3, 24, 24) > 0.5).float()
    moved = warp(picture, Motion(zoom=math.e, rotation=10).after(0.1))
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1
