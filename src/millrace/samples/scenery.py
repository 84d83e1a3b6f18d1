"""Backgrounds and things that stand about: the part of the procedural world that is not to be detected."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from millrace.samples.drawing import Array, Canvas, Colour, capsules, disc, shade

Image = npt.NDArray[np.uint8]

STYLES = ("street", "hall", "field", "plaza", "abstract")


def _colour(rng: np.random.Generator, low: int = 20, high: int = 235) -> Colour:
    base = rng.uniform(low, high)
    r, g, b = np.clip(base + rng.normal(0, 28, 3), 0, 255)
    return (float(r), float(g), float(b))


def _gradient(image: Array, top: int, bottom: int, first: Colour, last: Colour) -> None:
    if bottom <= top:
        return
    t = np.linspace(0, 1, bottom - top)[:, None, None]
    image[top:bottom] = np.asarray(first) * (1 - t) + np.asarray(last) * t


def _texture(rng: np.random.Generator, height: int, width: int, strength: float) -> Array:
    """Smooth noise (H, W, 1): octaves of small random grids enlarged to the picture."""
    total = np.zeros((height, width))
    for cell, weight in ((96, 1.0), (32, 0.7), (10, 0.5), (3, 0.45)):
        grid = rng.normal(0, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    return (total * strength)[..., None]


def _rectangle(image: Array, x: float, y: float, w: float, h: float, colour: Colour) -> None:
    cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, cv2.FILLED)


def _buildings(rng: np.random.Generator, image: Array, horizon: int) -> None:
    width = image.shape[1]
    x = -rng.uniform(0, 60)
    while x < width:
        w = rng.uniform(0.06, 0.3) * width
        top = horizon * rng.uniform(0.0, 0.7)
        colour = _colour(rng, 50, 210)
        _rectangle(image, x, top, w, horizon - top, colour)
        step, pane = rng.uniform(14, 34), _colour(rng, 20, 240)
        for wy in np.arange(top + step * 0.4, horizon - step * 0.6, step):
            for wx in np.arange(x + step * 0.3, x + w - step * 0.5, step):
                _rectangle(image, wx, wy, step * 0.45, step * 0.5, shade(pane, rng.uniform(0.7, 1.2)))
        x += w + rng.uniform(-5, 20)


def _trees(rng: np.random.Generator, image: Array, horizon: int) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(2, 9))):
        x, size = rng.uniform(0, width), rng.uniform(0.04, 0.16) * height
        base = horizon + rng.uniform(0, 0.1) * height
        trunk = (float(rng.uniform(40, 90)), float(rng.uniform(30, 60)), float(rng.uniform(15, 40)))
        cv2.line(image, (int(x), int(base)), (int(x), int(base - 2 * size)), trunk, max(2, int(size / 5)), cv2.LINE_AA)
        leaf = (float(rng.uniform(20, 120)), float(rng.uniform(70, 160)), float(rng.uniform(10, 70)))
        for _ in range(9):
            cx, cy = x + rng.normal(0, size * 0.5), base - 2 * size + rng.normal(0, size * 0.45)
            cv2.circle(
                image,
                (int(cx), int(cy)),
                int(size * rng.uniform(0.3, 0.65)),
                shade(leaf, rng.uniform(0.7, 1.25)),
                cv2.FILLED,
            )


def _floor_lines(rng: np.random.Generator, image: Array, horizon: int) -> None:
    height, width = image.shape[:2]
    colour = _colour(rng, 40, 230)
    thick = int(rng.integers(1, 4))
    for x in np.linspace(-1.5 * width, 2.5 * width, int(rng.integers(8, 30))):
        cv2.line(image, (int(width / 2), horizon), (int(x), height), colour, thick, cv2.LINE_AA)
    for k in np.linspace(0.05, 1, int(rng.integers(4, 14))) ** 2:
        y = int(horizon + k * (height - horizon))
        cv2.line(image, (0, y), (width, y), colour, thick, cv2.LINE_AA)


def _shapes(rng: np.random.Generator, image: Array, count: int, limit: int) -> None:
    """Meaningless clutter, so that round and long shapes alone do not make a person."""
    height, width = image.shape[:2]
    for _ in range(count):
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, limit))
        size = float(np.exp(rng.uniform(np.log(4), np.log(0.25 * height))))
        colour, kind = _colour(rng), int(rng.integers(0, 4))
        if kind == 0:
            _rectangle(image, x, y, size * rng.uniform(0.3, 2), size, colour)
        elif kind == 1:
            axes = (max(1, int(size / 2)), max(1, int(size * rng.uniform(0.15, 0.5))))
            cv2.ellipse(image, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, colour, cv2.FILLED, cv2.LINE_AA)
        elif kind == 2:
            end = (int(x + rng.normal(0, size)), int(y + rng.normal(0, size)))
            cv2.line(image, (x, y), end, colour, int(rng.integers(1, 10)), cv2.LINE_AA)
        else:
            points = np.rint(rng.normal((x, y), size / 2, (int(rng.integers(3, 7)), 2))).astype(np.int32)
            cv2.fillPoly(image, [points], colour, cv2.LINE_AA)


def _road(rng: np.random.Generator, image: Array, horizon: int) -> None:
    """Asphalt from a kerb to the lower edge with lane lines across, nearer ones wider apart and thicker."""
    height, width = image.shape[:2]
    grey = float(rng.uniform(60, 125))
    kerb = int(horizon + rng.uniform(0.05, 0.25) * (height - horizon))
    _gradient(image, kerb, height, (grey, grey, grey + 3), (grey * 1.12, grey * 1.12, grey * 1.12))
    _rectangle(image, 0, kerb - 0.008 * height, width, 0.016 * height, shade((190, 190, 185), rng.uniform(0.6, 1.1)))
    paint, dash = shade((235, 235, 225), rng.uniform(0.7, 1.0)), float(rng.uniform(0.04, 0.12)) * width
    for k in np.linspace(0.2, 0.95, int(rng.integers(2, 6))):
        y, thick = kerb + k**1.5 * (height - kerb), max(1.0, 0.008 * height * k)
        step, shift = dash * (0.5 + k), float(rng.uniform(0, 1))
        for x in np.arange(-shift * step, width, step * 2):
            _rectangle(image, x, y, step, thick, paint)


def background(rng: np.random.Generator, width: int, height: int, horizon: int, fixed: str | None = None) -> Image:
    """One still backdrop (H, W, 3) RGB with sky or wall above `horizon` (a row) and ground below it.

    fixed: "road" for a street with asphalt; None draws one of STYLES.
    """
    image = np.zeros((height, width, 3), np.float64)
    style = STYLES[int(rng.integers(0, len(STYLES)))] if fixed is None else "street"
    sky = _colour(rng, 120, 240) if style != "hall" else _colour(rng, 60, 225)
    _gradient(image, 0, horizon, shade(sky, rng.uniform(0.7, 1.1)), sky)
    ground = _colour(rng, 40, 200)
    if style == "field":
        ground = (float(rng.uniform(50, 130)), float(rng.uniform(90, 170)), float(rng.uniform(20, 80)))
    _gradient(image, horizon, height, shade(ground, rng.uniform(0.7, 1.0)), shade(ground, rng.uniform(0.9, 1.25)))
    if style == "street":
        _buildings(rng, image, horizon)
    if style in ("street", "field", "plaza"):
        _trees(rng, image, horizon)
    if style in ("hall", "plaza") or rng.random() < 0.3:
        _floor_lines(rng, image, horizon)
    if style == "hall":
        _shapes(rng, image, int(rng.integers(3, 14)), horizon)
    if style == "abstract":
        _shapes(rng, image, int(rng.integers(20, 80)), height)
    if fixed == "road":
        _road(rng, image, horizon)
    image += _texture(rng, height, width, float(rng.uniform(1.0, 11.0)))
    if rng.random() < 0.5:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        image *= (1.0 - rng.uniform(0.05, 0.35) * (x * x + y * y) / 2)[..., None]
    image *= np.linspace(rng.uniform(0.75, 1.1), rng.uniform(0.75, 1.1), width)[None, :, None]
    result = np.clip(image, 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(result, (0, 0), float(rng.uniform(0.4, 1.6))).astype(np.uint8)


class Prop:
    """A still thing on the ground that may hide people: a pole, a bin, a bush, a cone or a sign."""

    KINDS = ("pole", "bin", "bush", "cone", "sign")

    def __init__(
        self,
        rng: np.random.Generator,
        foot: tuple[float, float],
        scale: float,
        kinds: tuple[str, ...] = KINDS,
    ) -> None:
        self.kind = kinds[int(rng.integers(0, len(kinds)))]
        self.foot, self.scale = foot, scale
        self.colour = _colour(rng)
        self.second = _colour(rng)
        self.size = float(rng.uniform(0.7, 1.3))
        self.blobs = rng.normal(0, 1, (10, 3))

    def draw(self, canvas: Canvas, owner: int) -> None:
        """Draw onto the canvas as owner number `owner`."""
        (x, y), s = self.foot, self.scale * self.size
        canvas.darken(np.array([x, y]), 0.35 * s, 0.09 * s, 0.65)
        if self.kind in ("pole", "sign"):
            top = y - (3.2 if self.kind == "pole" else 2.0) * s
            canvas.fill(_box(x - 0.05 * s, top, x + 0.05 * s, y), self.colour, owner)
            canvas.fill(_box(x - 0.05 * s, top, x - 0.01 * s, y), shade(self.colour, 1.25), owner)
            if self.kind == "sign":
                canvas.fill(disc(np.array([x, top]), 0.28 * s, 0.28 * s), self.second, owner)
        elif self.kind == "bin":
            canvas.fill(_box(x - 0.3 * s, y - 0.95 * s, x + 0.3 * s, y), self.colour, owner)
            canvas.fill(_box(x - 0.33 * s, y - 1.02 * s, x + 0.33 * s, y - 0.9 * s), self.second, owner)
        elif self.kind == "cone":
            cone = capsules(
                np.array([[x, y]]), np.array([[x, y - 0.75 * s]]), np.array([0.22 * s]), np.array([0.04 * s])
            )
            canvas.fill(cone[0], self.colour, owner)
        else:
            for dx, dy, size in self.blobs:
                centre = np.array([x + 0.28 * s * dx, y - 0.35 * s + 0.16 * s * dy])
                radius = (0.2 + 0.05 * abs(size)) * s
                canvas.fill(disc(centre, radius, radius), shade((40, 105, 35), 1 + 0.25 * size), owner)


def _box(left: float, top: float, right: float, bottom: float) -> Array:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


NOISE_MARGIN = 64


class Film:
    """The camera's exposure, tint and sensor noise; the noise moves with time, alike for the same seed and moment.

    gains: range of exposures; tints: spread of the three channels' gains.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        seed: int,
        width: int,
        height: int,
        gains: tuple[float, float] = (0.6, 1.2),
        tints: float = 0.05,
    ) -> None:
        self.seed, self.width, self.height = seed, width, height
        level = float(rng.uniform(0.5, 7.0))
        shape = (height + NOISE_MARGIN, width + NOISE_MARGIN, 3)
        grain = rng.normal(0, level, shape).astype(np.float32)
        self._noise = (np.clip(grain, 0, 255).astype(np.uint8), np.clip(-grain, 0, 255).astype(np.uint8))
        gain, tint = float(rng.uniform(*gains)), rng.normal(1.0, tints, 3)
        self._tone = np.clip(np.arange(256)[:, None] * gain * tint + rng.uniform(-8, 18), 0, 255).astype(np.uint8)

    def expose(self, rgb: Image, t: float) -> Image:
        """The picture (H, W, 3) as filmed at `t` seconds."""
        offset = np.random.default_rng([self.seed, int(round(t * 1000)) & 0x7FFFFFFF])
        y, x = offset.integers(0, NOISE_MARGIN, 2)
        window = (slice(y, y + self.height), slice(x, x + self.width))
        toned = cv2.LUT(rgb, self._tone[None])
        plus, minus = self._noise
        return cv2.subtract(cv2.add(toned, plus[window]), minus[window]).astype(np.uint8)
