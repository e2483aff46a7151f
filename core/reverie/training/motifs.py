"""Pictures made by code: the forms that a dreaming network should know, each new at every call.

A motif takes a size in px and a random generator and gives an RGB picture, (size, size, 3) float32
in 0..1. Coordinates go from -1 to 1 over the picture.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, np.dtype[Any]]
Random = np.random.Generator


def motif(size: int, random: Random) -> Array:
    """One motif of a family chosen at random, sometimes with light and shade."""
    picture = MOTIFS[random.integers(len(MOTIFS))](size, random)
    if random.random() < 0.5:
        light = 1 + 0.35 * noise(size, random, 2.2)
        picture = picture * np.clip(light, 0.25, 1.6)[..., None]
    return np.clip(picture, 0, 1).astype(np.float32)


def noise(size: int, random: Random, slope: float | None = None) -> Array:
    """Gaussian noise whose amplitude falls with frequency to the power of `slope`; deviation 1."""
    slope = random.uniform(0.8, 3) if slope is None else slope
    spectrum = np.fft.rfft2(random.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequency[0, 0] = 1 / size
    field = np.fft.irfft2(spectrum * frequency**-slope, s=(size, size))
    field -= field.mean()
    return np.asarray(field / (field.std() + 1e-6), np.float32)


def palette(random: Random, colours: int) -> Array:
    """Colours that are related in hue, (colours, 3)."""
    start, saturation = random.random(), random.random(colours) ** 0.7
    if random.random() < 0.5:  # as in nature: earth, leaves or sky, and less of it
        start, saturation = random.choice([0.02, 0.06, 0.1, 0.25, 0.58]), saturation * 0.6
    hues = start + random.choice([0, 0.05, 0.1, 0.33, 0.5], colours) * random.random(colours) * 1.2
    value = random.random(colours) ** 0.6
    return np.array(
        [
            colorsys.hsv_to_rgb(*(float(part) for part in hsv))
            for hsv in zip(hues % 1, saturation, value, strict=True)
        ],
        np.float32,
    )


def ramp(values: Array, colours: Array) -> Array:
    """Colours along a palette for values in 0..1."""
    place = np.clip(values, 0, 1) * (len(colours) - 1)
    index = np.clip(place.astype(int), 0, len(colours) - 2)
    part = (place - index)[..., None]
    return np.asarray(colours[index] * (1 - part) + colours[index + 1] * part)


def soft(values: Array, width: float) -> Array:
    """0 where values are negative and 1 where they are positive, with an edge of some width."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values / width, -30, 30))))


def plane(size: int, random: Random, bend: float = 0.0, *, turned: bool = False) -> Array:
    """Coordinates x and y, bent by smooth noise and turned by a random angle, (2, size, size)."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    y, x = np.meshgrid(line, line, indexing="ij")
    if bend:
        strength = random.uniform(0, bend) * 0.5
        x = x + strength * noise(size, random, 2.2)
        y = y + strength * noise(size, random, 2.2)
    angle = random.uniform(0, 2 * np.pi) if turned else 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x + sin * y, cos * y - sin * x])


def ground(size: int, random: Random) -> Array:
    """A quiet, cloudy background."""
    return ramp(soft(noise(size, random, 1.5), 0.7), palette(random, 3)) * random.uniform(0.6, 1)


def over(picture: Array, colour: Array, cover: Array) -> Array:
    """Lay a colour over a picture where `cover` is 1."""
    return np.asarray(picture + (colour - picture) * cover[..., None])


def _clouds(size: int, random: Random) -> Array:
    return ramp(soft(noise(size, random), 0.6), palette(random, 5))


def _stripes(size: int, random: Random) -> Array:
    x, _ = plane(size, random, 0.35, turned=True)
    wave = np.sin(x * random.uniform(6, 40) + random.uniform(0, 6))
    return ramp(0.5 + 0.5 * wave, palette(random, int(random.integers(2, 5))))


def _checks(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.12, turned=True)
    count = random.uniform(4, 16)
    wave = np.sin(x * count) * np.sin(y * count * random.uniform(0.6, 1.6))
    return ramp(0.5 + 0.5 * np.tanh(random.uniform(1, 8) * wave), palette(random, 3))


def _nearest(x: Array, y: Array, random: Random, count: int, loose: float) -> tuple[Array, ...]:
    """Distance to the nearest and second nearest of scattered points, and which one is nearest."""
    side = int(np.sqrt(count)) + 1
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    points = grid + 0.5 + (random.random(grid.shape) - 0.5) * loose
    points = (points / side * 2 - 1) * 1.25
    distances = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1])
    two = np.partition(distances, 1, -1)
    return two[..., 0], two[..., 1], distances.argmin(-1)


def _cells(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.1)
    near, second, which = _nearest(x, y, random, int(random.integers(9, 90)), 1.0)
    colours = palette(random, 6)[which % 6] * (1 - 0.5 * near / near.max())[..., None]
    return over(
        palette(random, 1)[0], colours, soft(second - near - random.uniform(0.01, 0.06), 0.012)
    )


def _bubbles(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.05)
    near, second, _ = _nearest(x, y, random, int(random.integers(9, 80)), 0.6)
    radius = near / (second + 1e-6)
    waves = random.uniform(0, 0.3) * np.sin(radius * random.uniform(6, 25))
    return ramp(1 - radius + waves, palette(random, 5))


def _spiral(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.1) + random.uniform(-0.4, 0.4, (2, 1, 1))
    turns = int(random.integers(1, 5)) * random.choice([-1, 1])
    wave = np.sin(np.arctan2(y, x) * turns + np.log(np.hypot(x, y) + 0.02) * random.uniform(3, 12))
    return ramp(0.5 + 0.5 * wave, palette(random, 3))


def _rings(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.1) + random.uniform(-0.5, 0.5, (2, 1, 1))
    radius = np.hypot(x, y * random.uniform(0.7, 1.4))
    return ramp(0.5 + 0.5 * np.sin(radius * random.uniform(10, 45)), palette(random, 3))


def _turing(size: int, random: Random) -> Array:
    """Spots and labyrinths: noise filtered to one wavelength and saturated, three times."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    middle = random.uniform(0.03, 0.12)
    band = np.exp(-(((frequency - middle) / (0.2 * middle)) ** 2))
    field, tilt = random.standard_normal((size, size)), random.choice([-0.6, 0, 0.6])
    for _ in range(3):
        pushed = np.tanh(field / (field.std() + 1e-6) * 3 + tilt)
        field = np.fft.irfft2(np.fft.rfft2(pushed) * band, s=(size, size))
    return ramp(soft(field / (field.std() + 1e-6), random.uniform(0.1, 0.8)), palette(random, 4))


def _combed(size: int, random: Random) -> Array:
    """Fur: noise smeared along a smooth field of directions (line integral convolution), -1..1."""
    grain = random.standard_normal((size, size))
    grain = grain + np.roll(grain, 1, 0) + np.roll(grain, 1, 1)
    angle = noise(size, random, 2.6) * random.uniform(0.6, 2) + random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    total = np.zeros((size, size))
    for _ in range(int(random.integers(8, 20))):
        row, column = y.astype(int) % size, x.astype(int) % size
        total += grain[row, column]
        x += np.cos(angle[row, column])
        y += np.sin(angle[row, column])
    return np.asarray(total / (total.std() + 1e-6))


def _fur(size: int, random: Random) -> Array:
    hair = _combed(size, random) + 0.5 * noise(size, random, 1.5)
    return ramp(soft(hair, 0.7), palette(random, 4))


def _eye(picture: Array, x: Array, y: Array, random: Random) -> Array:
    """Lay one eye, from -1 to 1 in x and y, over a picture: lids, white, iris, pupil, glint."""
    size = len(picture)
    lid = np.abs(y) - random.uniform(0.4, 1) * 0.75 * (1 - x**2)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    iris, pupil = random.uniform(0.3, 0.6), random.uniform(0.3, 0.65)
    colours = palette(random, 4)
    rays = 0.18 * np.sin(angle * random.integers(12, 50) + 3 * noise(size, random, 2))
    ball = random.uniform(0.75, 1) - np.array([0, 0.03, 0.08])
    ball = ball * (1 - 0.35 * np.clip(radius, 0, 1))[..., None]
    ball = over(ball, ramp(radius / iris + rays, colours), soft(iris - radius, 0.01))
    ball = ball * (1 - 0.8 * np.exp(-(((radius - iris) / 0.05) ** 2)))[..., None]
    slit = random.uniform(1, 3.5) if random.random() < 0.3 else 1.0
    hole = iris * pupil - np.hypot(x * slit, y)
    ball = over(ball, np.full(3, 0.02), soft(hole, 0.015))
    glint = (x - iris * pupil / 2) ** 2 + (y + iris * pupil / 2) ** 2
    ball = over(ball, np.ones(3), np.exp(-glint / (0.02 * random.uniform(0.3, 2))))
    hair = ramp(0.5 + 0.5 * np.sin(angle * random.integers(20, 60) + radius * 6), colours)
    around = np.exp(-3 * np.clip(lid, 0, 9)) * (random.random() < 0.7)
    picture = over(over(picture, hair, around), ball, soft(-lid, 0.03))
    return np.asarray(picture * (1 - 0.75 * np.exp(-((lid / 0.07) ** 2)))[..., None])


def _eyes(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.06, turned=random.random() < 0.5)
    picture, count = ground(size, random), int(random.integers(1, 4))
    for _ in range(count):
        scale = random.uniform(0.35, 1.1) / np.sqrt(count)
        left, top = random.uniform(-0.5, 0.5, 2) * (count > 1)
        picture = _eye(picture, (x - left) / scale, (y - top) / scale, random)
    return picture


def _face(size: int, random: Random) -> Array:
    """An animal's head: fur, ears, two eyes, a muzzle with a nose, whiskers' dots."""
    x, y = plane(size, random, 0.08)
    scale = random.uniform(0.55, 0.95)
    x, y = (x - random.uniform(-0.3, 0.3)) / scale, (y - random.uniform(-0.25, 0.25)) / scale
    side = np.abs(x)
    width, coat, dark = random.uniform(0.6, 0.85), palette(random, 3), palette(random, 2) * 0.3
    hair = soft(_combed(size, random), 0.8)
    fur = ramp(hair, coat)
    lower = ramp(hair, np.clip(coat * 0.4 + 0.6, 0, 1))
    spread, height = random.uniform(0.35, 0.7), random.uniform(0.55, 0.95)
    picture = ground(size, random)
    if random.random() < 0.5:  # pointed ears, or hanging ones
        ear = 0.28 - np.abs(side - spread) - 0.5 * np.clip(-y - 0.4, -0.1, 1) + 0.12
        ear = np.minimum(ear, height + y + 0.35)
    else:
        ear = 1 - np.hypot((side - width - 0.05) / 0.24, (y + 0.05) / height)
    picture = over(picture, fur * 0.7, soft(ear, 0.04))
    head = 1 - np.hypot(x / width, y / random.uniform(0.75, 0.95))
    picture = over(picture, fur * np.clip(0.55 + head, 0, 1)[..., None], soft(head, 0.03))
    drop = random.uniform(0.25, 0.5)
    muzzle = 1 - np.hypot(x / random.uniform(0.25, 0.45), (y - drop) / random.uniform(0.25, 0.4))
    picture = over(picture, lower, soft(muzzle, 0.08))
    apart, eye = random.uniform(0.22, 0.42), random.uniform(0.1, 0.2)
    seed = int(random.integers(2**31))
    for place in (-apart, apart):  # the same generator twice: both eyes alike
        alike = np.random.default_rng(seed)
        picture = _eye(picture, (x - place) / eye, (y + 0.12) / eye, alike)
    broad = random.uniform(0.08, 0.17)
    nose = 1 - np.hypot(x / broad, (y - drop + 0.1) / (0.7 * broad)) - 0.4 * np.clip(y - drop, 0, 1)
    picture = over(picture, dark[0], soft(nose, 0.05))
    picture = over(
        picture, np.ones(3), 0.6 * np.exp(-((x + 0.03) ** 2 + (y - drop + 0.14) ** 2) / 0.0008)
    )
    curve = np.abs(y - drop - 0.12 + 0.6 * (side - 0.12) ** 2) + 2 * np.clip(side - 0.22, 0, 1)
    return over(picture, dark[1], 0.8 * np.exp(-((curve / 0.025) ** 2)))


def _scales(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.12, turned=True)
    count, colours, ripple = random.uniform(1.5, 6), palette(random, 5), random.uniform(0, 40)
    x, y = x * count, y * count * 1.6
    picture, top = np.zeros((size, size, 3)), np.full((size, size), -1e9)
    for offset in range(-1, 3):
        row = np.floor(y) + offset
        across, down = x - np.floor(x + 0.5 * (row % 2)) - 0.5 + 0.5 * (row % 2), y - row
        distance = np.hypot(across, down * 0.55 - 0.1)
        shade = 0.4 + 0.6 * soft(0.55 - distance, 0.06)
        colour = ramp(1 - distance / 0.58 + 0.15 * np.sin(across * ripple), colours)
        seen = (distance < 0.58) & (down > 0) & (row > top)
        picture = np.where(seen[..., None], colour * shade[..., None], picture)
        top = np.where(seen, row, top)
    return picture


def _flowers(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.08)
    picture = ground(size, random)
    for _ in range(int(random.integers(1, 6))):
        left, top = random.uniform(-0.8, 0.8, 2)
        scale, petals, colours = (
            random.uniform(0.25, 0.9),
            random.integers(4, 14),
            palette(random, 4),
        )
        across, down = (x - left) / scale, (y - top) / scale
        for whorl in range(int(random.integers(1, 4))):
            radius = np.hypot(across, down) / (1 - 0.25 * whorl)
            angle = np.arctan2(down, across) + 0.4 * whorl
            side = np.abs((angle * petals / (2 * np.pi)) % 1 - 0.5) * 2
            edge = np.sqrt(1 - side ** random.uniform(1.5, 4)) * 0.9 + 0.1
            colour = ramp(radius + 0.2 * np.cos(side * random.uniform(2, 20)), colours)
            picture = over(
                picture, colour * (1 - 0.45 * side**2)[..., None], soft(edge - radius, 0.03)
            )
        seeds = ramp(0.5 + 0.5 * np.sin(60 * across) * np.sin(60 * down), palette(random, 2))
        picture = over(picture, seeds, soft(0.22 - np.hypot(across, down), 0.03))
    return picture


def _feathers(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.1, turned=True)
    picture = ground(size, random)
    for _ in range(int(random.integers(1, 6))):
        left, top = random.uniform(-0.7, 0.7, 2)
        angle, length = random.uniform(-1, 1), random.uniform(0.5, 1.2)
        along = np.cos(angle) * (y - top) - np.sin(angle) * (x - left)
        across = np.cos(angle) * (x - left) + np.sin(angle) * (y - top) + 0.25 * along**2
        width = length * random.uniform(0.15, 0.45)
        outline = width * np.sqrt(np.clip(1 - (along / length) ** 2, 0, 1))
        barbs = 0.5 + 0.5 * np.sin(
            (along - np.abs(across) * random.uniform(0.8, 2)) * random.uniform(30, 80)
        )
        colours = palette(random, 4)
        colour = ramp(np.abs(across) / (width + 0.01) * 0.8 + 0.3 * barbs, colours)
        vane = over(
            colour * (0.6 + 0.4 * barbs)[..., None], colours[-1], np.exp(-((across / 0.018) ** 2))
        )
        picture = over(picture, vane, soft(outline - np.abs(across), 0.02))
        if random.random() < 0.6:  # the eye of a peacock's feather
            spot = np.hypot(across, along + length * 0.55) / (width * 0.8)
            picture = over(picture, ramp(spot, palette(random, 5)), soft(1 - spot, 0.03))
    return picture


def _arches(size: int, random: Random) -> Array:
    x, y = plane(size, random, 0.05)
    count, aspect, colours = random.uniform(1.5, 5), random.uniform(1.2, 2.4), palette(random, 5)
    across, down = (x * count) % 1 - 0.5, (y * count / aspect) % 1 - 0.35
    inside = np.hypot(across, down * random.uniform(0.8, 1.3))
    distance = np.where(down < 0, inside, np.abs(across))
    bricks = np.sign(np.sin(y * random.uniform(20, 60))) * np.sin(x * random.uniform(15, 50))
    picture = ramp(0.7 + 0.1 * bricks, colours)
    for ring in range(int(random.integers(1, 4))):
        depth = colours[ring] * (0.6 + 0.6 * down)[..., None]
        picture = over(picture, depth, soft(0.36 * (1 - 0.22 * ring) - distance, 0.012))
    return over(picture, colours[-1], np.exp(-(((distance - 0.36) / 0.03) ** 2)))


def _towers(size: int, random: Random) -> Array:
    """Pagodas and houses: stacked storeys with roofs and rows of windows."""
    x, y = plane(size, random, 0.04)
    picture = ground(size, random)
    for _ in range(int(random.integers(1, 5))):
        middle, base = random.uniform(-0.8, 0.8), random.uniform(0.3, 1.1)
        width, colours = random.uniform(0.15, 0.5), palette(random, 4)
        storeys, flare = int(random.integers(1, 7)), random.uniform(0, 0.6)
        for storey in range(storeys):
            wide, tall = width * (1 - 0.11 * storey), width * random.uniform(0.5, 0.9)
            across, up = x - middle, base - y
            wall = np.minimum(wide - np.abs(across), np.minimum(up, tall - up))
            panes = np.minimum(np.sin(across / wide * 9), np.sin(up / tall * np.pi) - 0.4)
            face = over(colours[0] * np.ones_like(picture), colours[1] * 0.4, soft(panes, 0.1))
            picture = over(picture, face, soft(wall, 0.008))
            eave = wide * (1.25 + flare * np.clip(np.abs(across) / wide, 0, 1.5) ** 2)
            slope = tall * 1.35 - up - 0.35 * tall * (1 - np.abs(across) / eave)
            roof = np.minimum(
                eave - np.abs(across) - (up - tall) * 2, np.minimum(up - tall * 0.95, slope)
            )
            picture = over(
                picture,
                colours[2] * (0.8 + 0.2 * np.sin(across * 120))[..., None],
                soft(roof, 0.008),
            )
            base -= tall * 1.1
    return picture


def _julia(size: int, random: Random) -> Array:
    seeds = (-0.8 + 0.156j, -0.4 + 0.6j, 0.285 + 0.01j, -0.70 - 0.38j, -0.83 - 0.2j, 0.3 + 0.5j)
    c = random.choice(seeds) + complex(*random.normal(0, 0.02, 2))
    x, y = plane(size, random, turned=True) * random.uniform(0.3, 1.5)
    z = x + random.uniform(-0.3, 0.3) + 1j * (y + random.uniform(-0.3, 0.3))
    lasted, trap, inside = (
        np.zeros((size, size)),
        np.full((size, size), 9.0),
        np.ones((size, size), bool),
    )
    for _ in range(28):
        z = np.where(inside, z * z + c, z)
        trap = np.minimum(trap, np.abs(z.real + 0.1))
        inside &= np.abs(z) < 4
        lasted += inside
    return ramp((lasted / 28 + np.clip(trap, 0, 1) * 0.7) % 1, palette(random, 6))


def _branches(size: int, random: Random) -> Array:
    drawn = Image.new("L", (size, size), 0)
    draw = ImageDraw.Draw(drawn)

    def grow(x: float, y: float, angle: float, length: float, width: float, forks: int) -> None:
        end = (x + np.cos(angle) * length, y + np.sin(angle) * length)
        draw.line((x, y, *end), fill=255, width=max(1, int(width)))
        if forks:
            for _ in range(int(random.integers(2, 4))):
                bent, shorter = angle + random.uniform(-0.8, 0.8), length * random.uniform(0.6, 0.9)
                grow(*end, bent, shorter, width * 0.7, forks - 1)

    for _ in range(int(random.integers(1, 4))):
        foot = (random.uniform(0.2, 0.8) * size, random.uniform(0.6, 1.05) * size)
        grow(*foot, -np.pi / 2 + random.uniform(-0.5, 0.5), size * 0.22, size * 0.05, 5)
    bark = ramp(soft(noise(size, random, 1.0), 0.5), palette(random, 2))
    return over(ground(size, random), bark, np.asarray(drawn, np.float32) / 255)


MOTIFS: tuple[Callable[[int, Random], Array], ...] = (
    _clouds, _stripes, _checks, _cells, _bubbles, _spiral, _rings, _turing, _fur, _eyes, _face,
    _face, _scales, _flowers, _feathers, _arches, _towers, _julia, _branches,
)  # fmt: skip
"""Every family; heads come twice."""
