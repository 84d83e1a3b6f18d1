"""Vehicles and bicycles of the street: simple solids turned to their heading, painted face by face.

Model axes in metres: X forward, Y up from the ground, Z to the side. Heading is as for people: 0 faces the camera,
pi/2 drives to the right.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import cv2
import numpy as np

from millrace.samples.drawing import Array, Canvas, Colour, capsules, hull, shade
from millrace.samples.figure import View

COLOURS: dict[str, Colour] = {
    "black": (28, 28, 32), "blue": (35, 70, 190), "green": (30, 130, 55), "grey": (128, 130, 134),
    "red": (195, 30, 30), "white": (238, 238, 234), "yellow": (235, 195, 30),
}  # fmt: skip
TYPES = ("bus", "sedan", "suv", "truck", "van")
MAKES = ("Alder", "Birch", "Cedar", "Hazel", "Maple", "Rowan")
"""Invented makes; each wears its own mark on all four faces: none, stripe, disc, two dots, triangle, cross."""

_GLASS: Colour = (70, 88, 104)
_DARK: Colour = (26, 26, 28)
_ROUND = np.stack([np.cos(np.arange(14) * pi / 7), np.sin(np.arange(14) * pi / 7)], axis=1)


@dataclass(frozen=True)
class Model:
    """What a vehicle is: attributes and a few proportions.

    colour, type, make: keys of COLOURS, TYPES and MAKES; paint: the very RGB; length, tall: factors near 1.
    """

    colour: str
    type: str
    make: str
    paint: Colour
    length: float
    tall: float

    @staticmethod
    def random(rng: np.random.Generator) -> Model:
        """Draw one; attributes are independent of each other."""
        colour = list(COLOURS)[int(rng.integers(len(COLOURS)))]
        spread = rng.normal(0, 5, 3)
        r, g, b = np.clip(np.asarray(COLOURS[colour]) * rng.uniform(0.92, 1.06) + spread, 0, 250)
        kind, make = TYPES[int(rng.integers(len(TYPES)))], MAKES[int(rng.integers(len(MAKES)))]
        return Model(
            colour, kind, make, (float(r), float(g), float(b)),
            float(rng.uniform(0.94, 1.06)), float(rng.uniform(0.96, 1.04)),
        )  # fmt: skip


class Solid:
    """Projects model points into the picture and paints with an owner; keeps the outline's extent."""

    def __init__(self, canvas: Canvas, owner: int, view: View) -> None:
        self.canvas, self.owner, self.view = canvas, owner, view
        c, s, cp, sp = cos(view.heading), sin(view.heading), cos(view.pitch), sin(view.pitch)
        self._across = np.array([s, 0.0, c])
        self._up = np.array([-c * sp, cp, s * sp])
        self.toward = np.array([c * cp, sp, -s * cp])
        self._low, self._high = np.full(2, np.inf), np.full(2, -np.inf)

    def project(self, points: Array) -> Array:
        """(N, 3) model metres to (N, 2) pixels."""
        flat = np.stack([points @ self._across, -(points @ self._up)], axis=1)
        return np.asarray(flat * self.view.scale + self.view.foot)

    def fill(self, outline: Array, colour: Colour, grow: bool = True) -> None:
        """Paint a convex outline in pixels."""
        if grow:
            self._low = np.minimum(self._low, outline.min(axis=0))
            self._high = np.maximum(self._high, outline.max(axis=0))
        self.canvas.fill(outline, colour, self.owner)

    def face(self, points: Array, normal: Array, colour: Colour, grow: bool = False) -> None:
        """Paint a flat convex face (N, 3) when it looks at the camera, lit from above and a little from the left."""
        if float(normal @ self.toward) > 0.02:
            gain = 0.86 + 0.2 * float(normal[1]) + 0.07 * float(normal @ self.toward)
            self.fill(self.project(points), shade(colour, gain), grow)

    def prism(self, profile: Array, half: float, colour: Colour, glass: bool = False) -> None:
        """A convex profile (N, 2) of X, Y drawn out to half metres on both sides; glass: steep end faces are panes."""
        outline = cv2.convexHull(profile.astype(np.float32)).reshape(-1, 2).astype(np.float64)
        count, middle = len(outline), outline.mean(axis=0)
        for k in range(count):
            a, b = outline[k], outline[(k + 1) % count]
            normal = np.array([b[1] - a[1], a[0] - b[0], 0.0])
            normal /= np.linalg.norm(normal) + 1e-9
            if normal[:2] @ (0.5 * (a + b) - middle) < 0:
                normal = -normal
            edge = np.array([[*a, half], [*b, half], [*b, -half], [*a, -half]])
            self.face(edge, normal, colour, True)
            if glass and abs(normal[0]) > 0.35:
                centre = edge.mean(axis=0)
                self.face(centre + (edge - centre) * 0.84, normal, _GLASS)
        for side in (half, -half):
            wall = np.concatenate([outline, np.full((count, 1), side)], axis=1)
            self.face(wall, np.array([0.0, 0.0, np.sign(side)]), colour, True)

    def panes(self, corners: Array, half: float, colour: Colour = _GLASS) -> None:
        """The same convex pane (N, 2) of X, Y on both sides."""
        for side in (half, -half):
            pane = np.concatenate([corners, np.full((len(corners), 1), side)], axis=1)
            self.face(pane, np.array([0.0, 0.0, np.sign(side)]), colour)

    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of all that was painted, in pixels, also beyond the picture."""
        return (float(self._low[0]), float(self._low[1]), float(self._high[0]), float(self._high[1]))


def _rect(x0: float, y0: float, x1: float, y1: float) -> Array:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _marks(make: str, r: float, wide: float) -> list[Array]:
    """Convex outlines (N, 2) of a make's mark around 0, 0."""
    if make == "Birch":
        return [_rect(-wide, -0.35 * r, wide, 0.35 * r)]
    if make == "Cedar":
        return [_ROUND * r]
    if make == "Hazel":
        return [_ROUND * (0.6 * r) + (shift * 1.1 * r, 0.0) for shift in (-1, 1)]
    if make == "Maple":
        return [np.array([[-1.15, -0.9], [1.15, -0.9], [0.0, 1.15]]) * r]
    if make == "Rowan":
        return [_rect(-1.1 * r, -0.36 * r, 1.1 * r, 0.36 * r), _rect(-0.36 * r, -1.1 * r, 0.36 * r, 1.1 * r)]
    return []


def paint_vehicle(canvas: Canvas, owner: int, view: View, model: Model) -> tuple[float, float, float, float]:
    """Paint a vehicle and return its silhouette's (left, top, right, bottom) in pixels."""
    solid = Solid(canvas, owner, view)
    kind, paint, high = model.type, model.paint, model.tall
    length = {"bus": 9.5, "sedan": 4.6, "suv": 4.6, "truck": 7.0, "van": 4.9}[kind] * model.length
    half = {"bus": 1.25, "sedan": 0.9, "suv": 0.95, "truck": 1.2, "van": 0.98}[kind]
    front, wheel = length / 2, {"bus": 0.48, "truck": 0.48, "suv": 0.38}.get(kind, 0.33)
    shadow = 0.5 * view.scale * (length * abs(sin(view.heading)) + 1.8)
    canvas.darken(np.asarray(view.foot), shadow, 0.5 * view.scale, 0.6)
    wheels = [-0.3 * length, 0.32 * length] if kind != "truck" else [-0.36 * length, -0.2 * length, 0.36 * length]
    near = 1.0 if solid.toward[2] > 0 else -1.0

    def roll(side: float) -> None:
        for x in wheels:
            for radius, colour in ((wheel, _DARK), (0.55 * wheel, (150.0, 150.0, 155.0))):
                ring = _ROUND * radius + (x, wheel)
                rim = np.concatenate([ring, np.full((14, 1), side * half)], axis=1)
                if radius == wheel:
                    rim = np.concatenate([rim, rim - (0.0, 0.0, 0.22 * side)])
                if radius == wheel or side == near:
                    solid.fill(hull(solid.project(rim)), colour)

    roll(-near)
    deck, mark_y, mark_x, mark_r = 0.9, 0.62, -0.02 * length, 0.27
    if kind == "sedan":
        deck = 0.92 * high
        top = 1.45 * high
        roof = np.array([[-0.36 * length, deck], [0.22 * length, deck], [0.04 * length, top], [-0.22 * length, top]])
        _shell(solid, front, half, deck, paint, 0.78, 0.84)
        solid.prism(roof, 0.84 * half, paint, True)
        solid.panes(roof * 0.82 + roof.mean(axis=0) * 0.18, 0.84 * half)
    elif kind == "suv":
        deck, mark_y, mark_r = 1.12 * high, 0.78, 0.3
        top = 1.86 * high
        roof = np.array([[-0.49 * length, deck], [0.22 * length, deck], [0.08 * length, top], [-0.45 * length, top]])
        _shell(solid, front, half, deck, paint, 0.98, 1.08)
        solid.prism(roof, 0.92 * half, paint, True)
        solid.panes(roof * 0.82 + roof.mean(axis=0) * 0.18, 0.92 * half)
    elif kind == "van":
        top, mark_y, mark_r, mark_x = 2.25 * high, 0.95, 0.36, -0.2 * length
        body = np.array([[-front, 0.3], [front, 0.3], [front, 0.95], [0.28 * length, top], [-front, top]])
        solid.prism(body, half, paint)
        _pane_front(solid, 0.47 * length, 1.15, 0.32 * length, top - 0.22, half)
        solid.panes(_rect(0.05 * length, 1.25, 0.27 * length, top - 0.3), half)
        _pane_back(solid, -front, 1.3, top - 0.3, half)
    elif kind == "bus":
        top, mark_y, mark_r = 3.1 * high, 0.95, 0.4
        solid.prism(_rect(-front, 0.35, front, top), half, paint)
        for x in np.linspace(-0.47, 0.4, 8)[:-1] * length:
            solid.panes(_rect(x, 1.55, x + 0.105 * length, top - 0.5), half)
        _pane_front(solid, front, 1.3, front, top - 0.35, half)
        _pane_back(solid, -front, 1.7, top - 0.5, half)
    else:
        top, mark_y, mark_r, mark_x = 3.2 * high, 1.95, 0.5, -0.15 * length
        solid.prism(_rect(-front, 0.55, front - 0.2, 0.95), 0.8 * half, _DARK)
        box = _rect(-front, 0.95, 0.18 * length, top)
        cab = np.array([[0.21 * length, 0.5], [front, 0.5], [front, 1.3], [front - 0.15, 2.45], [0.21 * length, 2.45]])
        # The part farther from the camera goes first.
        for part in ("box", "cab") if solid.toward[0] > 0 else ("cab", "box"):
            if part == "box":
                solid.prism(box, half, shade(paint, 0.97))
                continue
            solid.prism(cab, half * 0.96, paint)
            _pane_front(solid, front, 1.35, front - 0.15, 2.3, half)
            solid.panes(_rect(0.27 * length, 1.4, front - 0.35, 2.2), half * 0.96)
    roll(near)
    light = sum(paint) / 3 > 140
    ink: Colour = (15, 15, 20) if light else (245, 245, 240)
    for mark in _marks(model.make, mark_r, 0.4 * length):
        solid.panes(mark + np.array([mark_x, mark_y]), half, ink)
    for mark in _marks(model.make, mark_r * 0.85, 0.85 * half):
        y = 1.0 if kind == "truck" else mark_y
        ahead = np.stack([np.full(len(mark), front), mark[:, 1] + y, mark[:, 0]], axis=1)
        solid.face(ahead, np.array([1.0, 0.0, 0.0]), ink)
        behind = np.stack([np.full(len(mark), -front), mark[:, 1] + mark_y, mark[:, 0]], axis=1)
        solid.face(behind, np.array([-1.0, 0.0, 0.0]), ink)
    for x, colour in ((front, (250.0, 245.0, 205.0)), (-front, (205.0, 20.0, 15.0))):
        for z in (-0.78 * half, 0.78 * half):
            ring = _ROUND * (0.13 * (1.3 if kind in ("bus", "truck") else 1.0))
            lamp = np.stack([np.full(14, x), ring[:, 1] + min(deck, 0.95) - 0.2, ring[:, 0] + z], axis=1)
            solid.face(lamp, np.array([np.sign(x), 0.0, 0.0]), colour)
    return solid.box()


def _shell(solid: Solid, front: float, half: float, deck: float, paint: Colour, nose: float, tail: float) -> None:
    """The lower body of a car with a bonnet that falls to `nose` metres and a boot of `tail` metres."""
    under = [[-front, 0.27], [front, 0.27], [front, nose - 0.1]]
    over = [[0.25 * front, deck], [-0.75 * front, deck], [-front, tail]]
    solid.prism(np.array(under + over), half, paint)


def _pane_front(solid: Solid, x0: float, y0: float, x1: float, y1: float, half: float) -> None:
    pane = np.array([[x0, y0, 0.86 * half], [x0, y0, -0.86 * half], [x1, y1, -0.84 * half], [x1, y1, 0.84 * half]])
    normal = np.array([y1 - y0, x0 - x1, 0.0])
    solid.face(pane, normal / np.linalg.norm(normal), _GLASS)


def _pane_back(solid: Solid, x: float, y0: float, y1: float, half: float) -> None:
    pane = np.array([[x, y0, 0.8 * half], [x, y0, -0.8 * half], [x, y1, -0.8 * half], [x, y1, 0.8 * half]])
    solid.face(pane, np.array([-1.0, 0.0, 0.0]), _GLASS)


@dataclass(frozen=True)
class Rider:
    """A bicycle and who rides it: frame, shirt, trousers, skin and helmet colours."""

    frame: Colour
    shirt: Colour
    trousers: Colour
    skin: Colour
    helmet: Colour | None

    @staticmethod
    def random(rng: np.random.Generator) -> Rider:
        """Draw colours."""

        def dye() -> Colour:
            r, g, b = rng.uniform(15, 235, 3)
            return (float(r), float(g), float(b))

        frame, shirt, trousers, helmet = dye(), dye(), dye(), dye()
        skin = shade((224, 172, 125), float(rng.uniform(0.4, 1.1)))
        return Rider(frame, shirt, shade(trousers, 0.5), skin, helmet if rng.random() < 0.6 else None)


def paint_bicycle(
    canvas: Canvas, owner: int, view: View, rider: Rider, turn: float
) -> tuple[float, float, float, float]:
    """Paint a bicycle with its rider and return the silhouette's (left, top, right, bottom); turn: pedal radians."""
    solid = Solid(canvas, owner, view)
    canvas.darken(np.asarray(view.foot), 0.7 * view.scale, 0.14 * view.scale, 0.65)

    def limb(points: list[tuple[float, float, float]], radius: float, colour: Colour) -> None:
        flat = solid.project(np.array(points))
        r = np.full(len(flat) - 1, max(0.7, radius * view.scale))
        for outline in capsules(flat[:-1], flat[1:], r, r):
            solid.fill(outline, colour)

    for x in (-0.53, 0.53):
        ring = [(x + 0.33 * cos(a), 0.35 + 0.33 * sin(a), 0.0) for a in np.linspace(0, 2 * pi, 17)]
        limb(ring, 0.03, _DARK)
    hip, hand, crank, neck = (-0.22, 1.0), (0.42, 1.02), (-0.03, 0.32), (0.16, 1.48)
    feet = [(crank[0] + 0.17 * cos(a), crank[1] + 0.17 * sin(a)) for a in (turn, turn + pi)]
    near = 1 if solid.toward[2] > 0 else -1

    def leg(side: int) -> None:
        foot, z = feet[0 if side > 0 else 1], 0.1 * side
        along = np.array([foot[0] - hip[0], foot[1] - hip[1]])
        reach = min(0.86, float(np.linalg.norm(along)))
        bend = (0.44**2 - (reach / 2) ** 2) ** 0.5 if reach < 0.88 else 0.0
        unit = along / np.linalg.norm(along)
        knee = np.array(hip) + along / 2 + bend * np.array([-unit[1], unit[0]])
        limb([(*hip, z), (float(knee[0]), float(knee[1]), z)], 0.085, rider.trousers)
        limb([(float(knee[0]), float(knee[1]), z), (*foot, z)], 0.055, rider.trousers)
        limb([(*foot, z), (foot[0] + 0.14, foot[1], z)], 0.04, _DARK)

    leg(-near)
    for line in (
        [(-0.53, 0.35), crank, (0.4, 0.78), (-0.16, 0.82), crank],
        [(-0.53, 0.35), (-0.16, 0.82), (-0.19, 0.92)],
        [(0.53, 0.35), (0.4, 0.78), (0.37, 1.0), hand],
    ):
        limb([(x, y, 0.0) for x, y in line], 0.028, rider.frame)
    limb([(0.4, 1.0, -0.24), (0.4, 1.0, 0.24)], 0.025, _DARK)
    limb([(*hip, 0.0), (*neck, 0.0)], 0.15, rider.shirt)
    limb([(neck[0], neck[1] - 0.05, -0.14), (neck[0], neck[1] - 0.05, 0.14)], 0.1, rider.shirt)
    for side in (-near, near):
        limb([(neck[0], neck[1] - 0.04, 0.18 * side), (0.3, 1.16, 0.24 * side)], 0.05, rider.shirt)
        limb([(0.3, 1.16, 0.24 * side), (hand[0], hand[1], 0.22 * side)], 0.04, rider.skin)
    leg(near)
    limb([(0.24, 1.68, 0.0), (0.26, 1.72, 0.0)], 0.115, rider.skin)
    if rider.helmet is not None:
        limb([(0.2, 1.78, 0.0), (0.29, 1.78, 0.0)], 0.1, rider.helmet)
    return solid.box()
