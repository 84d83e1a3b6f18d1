"""A procedural street with exact ground truth: vehicles, bicycles, people and road signs.

`Street(7).frame(1.5)` is the same picture whenever it is asked for. Classes are those of DeepStream's sample detector:
0 Vehicle, 1 Bicycle (with its rider), 2 Person, 3 RoadSign (the plate); Bag and Face, of PeopleNet, ride along.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import atan2, pi

import numpy as np

from millrace.errors import MillraceError
from millrace.samples.drawing import Array, Canvas, Colour, disc
from millrace.samples.figure import View
from millrace.samples.scenery import Film, Image, Prop, background
from millrace.samples.vehicle import Model, Rider, paint_bicycle, paint_vehicle
from millrace.samples.world import Camera, Figure, PropActor

CLASSES = ("Vehicle", "Bicycle", "Person", "RoadSign", "Bag", "Face")
"""Names by class id; the first four are the primary detector's."""

_PROPS = ("pole", "bin", "bush", "cone")
_NEAR, _FAR = 0.14, 0.036  # pixels per metre as shares of the picture's height


@dataclass(frozen=True)
class Thing:
    """Ground truth for one thing in one frame.

    class_id: index into CLASSES; box: (left, top, width, height) pixels of the silhouette cut to the frame, parts
    behind other things count; track_id: stays while it crosses the view, unique among things of a street;
    visible: share of the silhouette that can be seen, 0 to 1; attributes: for vehicles colour, type and make.
    """

    class_id: int
    box: tuple[float, float, float, float]
    track_id: int
    visible: float = 1.0
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The class's name."""
        return CLASSES[self.class_id]


class _Actor(ABC):
    @abstractmethod
    def scale(self, t: float) -> float:
        """Pixels per metre where it stands at `t` seconds."""

    @abstractmethod
    def draw(self, canvas: Canvas, owner: int, t: float) -> list[Thing]:
        """Paint itself and return uncut ground truth, the thing itself first; empty when out of view."""


def _thing(class_id: int, box: tuple[float, float, float, float], track: int, **attributes: str) -> Thing:
    left, top, right, bottom = box
    return Thing(class_id, (left, top, right - left, bottom - top), track, 1.0, attributes)


class _Pedestrian(_Actor):
    def __init__(self, seed: int, index: int, count: int, camera: Camera, scale: float) -> None:
        self._figure, self._index = Figure(seed, index, count, camera, scale), index

    def scale(self, t: float) -> float:
        return self._figure.scale(t)

    def draw(self, canvas: Canvas, owner: int, t: float) -> list[Thing]:
        shown = self._figure.paint(canvas, owner, t)
        if shown is None:
            return []
        body, track = shown
        track = 1_000_000 + track
        found = [_thing(2, body.box(), track)]
        for class_id, box in ((4, body.bag_box()), (5, body.face_box())):
            if box is not None:
                found.append(_thing(class_id, box, track))
        return found


class _Still(_Actor):
    def __init__(self, prop: PropActor) -> None:
        self._prop = prop

    def scale(self, t: float) -> float:
        return self._prop.scale(t)

    def draw(self, canvas: Canvas, owner: int, t: float) -> list[Thing]:
        self._prop.draw(canvas, owner, t)
        return []


class _Traffic(_Actor):
    """Something that drives straight through the view again and again, each time another one, or stands parked."""

    def __init__(self, seed: int, index: int, camera: Camera, scale: float, bicycle: bool) -> None:
        rng = np.random.default_rng([seed, 32452843, index])
        self._seed, self._index, self._camera, self._scale, self._bicycle = seed, index, camera, scale, bicycle
        modes = ("cross", "cross", "cross", "along", "along") + (() if bicycle else ("parked",))
        self._mode = modes[int(rng.integers(len(modes)))]
        self._speed = float(rng.uniform(2.5, 5.0) if bicycle else rng.uniform(4.0, 10.0))
        self._start = float(rng.uniform(0, 1))
        self._parked = (float(rng.uniform(-0.45, 0.45)) * camera.width / scale, float(rng.uniform(-pi, pi)))

    def _lap(self, t: float) -> tuple[int, float, np.random.Generator, Array]:
        """(which lap, part of it, the lap's random numbers, path (2, 2) of x and distance in metres)."""
        width, long = self._camera.width, 2.0 if self._bicycle else 6.0
        if self._mode == "parked":
            path = np.array([[self._parked[0], width / self._scale]] * 2)
            return 0, 0.0, np.random.default_rng([self._seed, 49979687, self._index, 0]), path
        if self._mode == "cross":
            span = 2 * (width / (2 * self._scale) + long)
        else:
            span = width / self._camera.height * (1 / (0.85 * _FAR) - 1 / (1.4 * _NEAR))
        laps = t * self._speed / span + self._start
        lap = int(np.floor(laps))
        rng = np.random.default_rng([self._seed, 49979687, self._index, lap + 1])
        side = 1.0 if rng.random() < 0.5 else -1.0
        if self._mode == "cross":
            z = width / (self._scale * (1 + rng.uniform(-0.25, 0.25, 2)))
            path = np.array([[-side * span / 2, z[0]], [side * span / 2, z[1]]])
        else:
            far, near = width / (0.85 * _FAR * self._camera.height), width / (1.4 * _NEAR * self._camera.height)
            x = rng.uniform(-1, 1, 2) * (9.0, 4.0)
            path = np.array([[x[0], far], [x[1], near]])[:: int(side)]
        return lap, laps - lap, rng, path

    def _where(self, t: float) -> tuple[int, np.random.Generator, float, float, float, float]:
        lap, part, rng, path = self._lap(t)
        x, z = path[0] + (path[1] - path[0]) * part
        dx, dz = path[1] - path[0]
        heading = self._parked[1] if self._mode == "parked" else atan2(dx, -dz)
        return lap, rng, float(x), float(self._camera.width / z), heading, part * float(np.hypot(dx, dz))

    def scale(self, t: float) -> float:
        return self._where(t)[3]

    def draw(self, canvas: Canvas, owner: int, t: float) -> list[Thing]:
        lap, rng, x, scale, heading, gone = self._where(t)
        foot = self._camera.place(x, scale)
        reach = (1.2 if self._bicycle else 6.0) * scale
        if not -reach < foot[0] < self._camera.width + reach or foot[1] - 4 * scale > self._camera.height:
            return []
        view = View(foot, scale, heading, self._camera.pitch(scale))
        track = lap * 64 + self._index + 1
        if self._bicycle:
            box = paint_bicycle(canvas, owner, view, Rider.random(rng), -gone * 2.2)
            return [_thing(1, box, 2_000_000 + track)]
        model = Model.random(rng)
        box = paint_vehicle(canvas, owner, view, model)
        return [_thing(0, box, 3_000_000 + track, colour=model.colour, type=model.type, make=model.make)]


class _Sign(_Actor):
    """A road sign that faces the camera: stop, warning, limit, notice or priority."""

    def __init__(self, rng: np.random.Generator, index: int, camera: Camera, scale: float) -> None:
        self._scale, self._index = scale, index
        self._foot = camera.place(float(rng.uniform(-0.48, 0.48)) * camera.width / scale, scale)
        self._kind = int(rng.integers(5))
        self._size, self._high = float(rng.uniform(0.38, 0.5)), float(rng.uniform(2.2, 2.8))

    def scale(self, t: float) -> float:
        return self._scale

    def draw(self, canvas: Canvas, owner: int, t: float) -> list[Thing]:
        (x, y), s, r = self._foot, self._scale, self._size * self._scale
        middle = np.array([x, y - self._high * s])
        left, right = x - 0.05 * s, x + 0.05 * s
        pole = np.array([[left, middle[1]], [right, middle[1]], [right, y], [left, y]])
        canvas.fill(pole, (135, 138, 140), owner)
        turn = np.arange(8) * pi / 4 + pi / 8
        eight = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        three = np.array([[-1.0, 0.85], [1.0, 0.85], [0.0, -0.95]])
        four = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * 0.88
        rhomb = np.array([[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]) * 1.05
        red, white, blue, yellow, black = (205, 25, 30), (242, 242, 240), (25, 70, 180), (245, 195, 25), (20, 20, 20)
        kinds: list[list[tuple[Array, float, Colour]]] = [
            [(eight, 1.0, white), (eight, 0.92, red), (four * (1.0, 0.3), 0.75, white)],
            [(three, 1.0, red), (three, 0.68, white), (four * (0.12, 0.5), 0.7, black)],
            [(disc(np.zeros(2), 1.0, 1.0), 1.0, red), (disc(np.zeros(2), 1.0, 1.0), 0.76, white),
             (four * (0.55, 0.5), 0.6, black)],
            [(four, 1.0, white), (four, 0.93, blue), (four * (0.3, 0.7), 0.7, white)],
            [(rhomb, 1.0, white), (rhomb, 0.85, yellow)],
        ]  # fmt: skip
        plates = kinds[self._kind]
        for outline, size, colour in plates:
            canvas.fill(outline * (size * r) + middle, colour, owner)
        edge = plates[0][0] * r + middle
        (left, top), (right, bottom) = edge.min(axis=0), edge.max(axis=0)
        return [_thing(3, (float(left), float(top), float(right), float(bottom)), 4_000_000 + self._index)]


class Street:
    """A street that can be filmed at any moment.

    seed: any integer from 0; width, height: pixels, 64 to 8192. vehicles, bicycles, people, signs: how many of each
    there are at once (0 to 60), None draws a few. Raises MillraceError for what is out of range.
    """

    def __init__(
        self,
        seed: int,
        width: int = 1280,
        height: int = 720,
        vehicles: int | None = None,
        bicycles: int | None = None,
        people: int | None = None,
        signs: int | None = None,
    ) -> None:
        if not (64 <= width <= 8192 and 64 <= height <= 8192):
            raise MillraceError(f"street size {width}x{height} is out of range: give 64 to 8192 pixels a side")
        asked = (vehicles, bicycles, people, signs)
        if seed < 0 or any(n is not None and not 0 <= n <= 60 for n in asked):
            raise MillraceError(f"street seed {seed} with counts {asked}: give a seed from 0 and counts of 0 to 60")
        rng = np.random.default_rng([seed, 86028121])
        self.seed, self.width, self.height = seed, width, height
        drawn = [int(rng.integers(2, 7)), int(rng.integers(0, 4)), int(rng.integers(1, 6)), int(rng.integers(0, 4))]
        cars, cycles, walkers, plates = (d if n is None else n for n, d in zip(asked, drawn, strict=True))
        horizon = height * float(rng.uniform(0.05, 0.32))
        ground = height * float(rng.uniform(0.85, 1.1))
        camera = Camera(width, height, horizon, (ground - horizon) / (_NEAR * height))

        def scales(count: int) -> list[float]:
            return [float(s) for s in height * np.exp(rng.uniform(np.log(_FAR), np.log(_NEAR), count))]

        self.actors: list[_Actor] = [_Traffic(seed, k, camera, s, False) for k, s in enumerate(scales(cars))]
        self.actors += [_Traffic(seed, 100 + k, camera, s, True) for k, s in enumerate(scales(cycles))]
        self.actors += [_Pedestrian(seed, k, walkers, camera, s) for k, s in enumerate(scales(walkers))]
        self.actors += [_Sign(rng, k, camera, s) for k, s in enumerate(scales(plates))]
        for s in scales(int(rng.integers(0, 4))):
            foot = camera.place(float(rng.uniform(-0.5, 0.5)) * width / s, s)
            self.actors.append(_Still(PropActor(Prop(rng, foot, s, _PROPS))))
        self._background = background(rng, width, height, int(horizon), "road")
        self._film = Film(rng, seed, width, height, (0.85, 1.12), 0.025)

    def frame(self, t: float) -> tuple[Image, list[Thing]]:
        """The picture (H, W, 3) RGB uint8 at `t` seconds, and all of which at least a little can be seen."""
        canvas = Canvas(self._background)
        drawn: list[tuple[int, Thing, int]] = []
        for owner, actor in enumerate(sorted(self.actors, key=lambda a: a.scale(t)), start=1):
            for thing in actor.draw(canvas, owner, t):
                left, top, wide, high = thing.box
                drawn.append((owner, thing, canvas.count(owner, (left, top, left + wide, top + high))))
        things = [seen for owner, thing, area in drawn if (seen := self._cut(canvas, owner, thing, area)) is not None]
        return self._film.expose(canvas.rgb, t), things

    def frames(self, fps: float, count: int, start: float = 0.0) -> Iterator[tuple[Image, list[Thing]]]:
        """`count` frames one after the other, `fps` a second, the first at `start` seconds."""
        for k in range(count):
            yield self.frame(start + k / fps)

    def _cut(self, canvas: Canvas, owner: int, thing: Thing, area: int) -> Thing | None:
        left, top, width, height = thing.box
        x0, y0 = max(0.0, left), max(0.0, top)
        x1, y1 = min(float(self.width), left + width), min(float(self.height), top + height)
        if x1 - x0 < 1 or y1 - y0 < 1:
            return None
        seen = canvas.count(owner, (x0, y0, x1, y1))
        if not seen:
            return None
        share = (x1 - x0) * (y1 - y0) / (width * height) * seen / max(area, 1)
        return replace(thing, box=(x0, y0, x1 - x0, y1 - y0), visible=share)
