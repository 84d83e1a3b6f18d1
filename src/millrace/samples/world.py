"""A small procedural world filmed by a still camera: figures that walk, run and gesture, with exact ground truth.

Everything follows from a seed and a moment: `World(7).frame(1.5)` is the same picture whenever and in whatever order
it is asked for. Coordinates are continuous frame pixels, left to right and top to bottom, pixel centres at .5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import atan2, cos, pi, sin

import numpy as np
import numpy.typing as npt

from millrace.errors import MillraceError
from millrace.samples import skeleton as sk
from millrace.samples.drawing import Array, Canvas
from millrace.samples.figure import Body, Look, View
from millrace.samples.scenery import Film, Image, Prop, background


@dataclass
class Person:
    """Ground truth for one person in one frame.

    box: (left, top, width, height) pixels of the silhouette cut to the frame; parts behind other things count.
    keypoints: (17, 3) float32 in COCO's order: x, y in pixels and 2 seen, 1 in the frame but hidden, 0 outside the
    frame (x, y stay where the point is). track_id: the same for one person while they cross the view.
    visible: share of the whole silhouette that can be seen, 0 to 1.
    """

    box: tuple[float, float, float, float]
    keypoints: npt.NDArray[np.float32]
    track_id: int
    visible: float = 1.0
    label: str = field(default="person")


class Actor(ABC):
    """Something that stands in the world; people and props now, vehicles and other classes by subclassing."""

    @abstractmethod
    def scale(self, t: float) -> float:
        """Pixels per metre at its place at `t` seconds; larger is nearer and drawn later."""

    @abstractmethod
    def draw(self, canvas: Canvas, owner: int, t: float) -> Person | None:
        """Paint itself as `owner` and return uncut ground truth, or None for what is not annotated.

        The returned box is the whole silhouette (left, top, right - left, bottom - top), not yet cut to the frame.
        """


class PropActor(Actor):
    """Something that stands about and is not annotated."""

    def __init__(self, prop: Prop) -> None:
        self._prop = prop

    def scale(self, t: float) -> float:
        return self._prop.scale

    def draw(self, canvas: Canvas, owner: int, t: float) -> Person | None:
        self._prop.draw(canvas, owner)
        return None


@dataclass(frozen=True)
class Camera:
    """A still camera over flat ground: `rise` pixels below the `horizon` for each pixel a metre measures."""

    width: int
    height: int
    horizon: float
    rise: float

    def place(self, x: float, scale: float) -> tuple[float, float]:
        """Frame pixels of the ground point `x` metres right of the middle where a metre measures `scale` pixels."""
        return (self.width / 2 + x * scale, self.horizon + self.rise * scale)

    def pitch(self, scale: float) -> float:
        """Radians it looks down at what stands where a metre measures `scale` pixels."""
        distance = self.width / scale
        return max(-0.1, min(0.55, atan2(self.rise - 0.9, distance)))


class Figure(Actor):
    """A person: crosses the view again and again (a new person each time), walks in rounds, or stands and gestures."""

    def __init__(self, world_seed: int, index: int, count: int, camera: Camera, scale: float) -> None:
        rng = np.random.default_rng([world_seed, 7919, index])
        self._seed, self._index, self._count, self._camera = world_seed, index, count, camera
        self._scale = scale
        self._mode = ("cross", "cross", "round", "stand")[int(rng.integers(0, 4))]
        self._start = float(rng.uniform(0, 1))
        self._half = camera.width / (2 * scale) + 0.7
        self._speed = float(rng.uniform(0.9, 1.6))
        self._middle = float(rng.uniform(-0.8, 0.8)) * camera.width / (2 * scale)
        self._radius = (float(rng.uniform(0.5, 2.5)), float(rng.uniform(0.15, 0.3)))
        self._faces = float(rng.uniform(-pi, pi))
        self._turning = float(rng.choice([-1.0, 1.0]))

    def _lap(self, t: float) -> tuple[int, float]:
        """(which crossing, how far through it from 0 to 1)."""
        if self._mode != "cross":
            return 0, 0.0
        laps = t * self._speed / (2 * self._half) + self._start
        return int(np.floor(laps)), float(laps - np.floor(laps))

    def _where(self, t: float) -> tuple[float, float, float, float]:
        """(x metres, pixels per metre, heading radians, metres walked)."""
        lap, part = self._lap(t)
        if self._mode == "cross":
            rng = np.random.default_rng([self._seed, 104729, self._index, lap + 1])
            side = 1.0 if rng.random() < 0.5 else -1.0
            first, last = self._scale * (1 + rng.uniform(-0.12, 0.12, 2))
            x = side * self._half * (2 * part - 1)
            deep = self._camera.width * (1 / last - 1 / first)
            heading = atan2(side * 2 * self._half, -deep)
            return x, float(first + (last - first) * part), heading, part * 2 * self._half
        if self._mode == "round":
            a, b = self._radius
            turn = self._turning * (t * self._speed / max(a, 0.6) * 0.7) + self._start * 2 * pi
            x = self._middle + a * cos(turn)
            scale = self._scale * (1 + b * sin(turn))
            dx, ds = -a * sin(turn) * self._turning, self._scale * b * cos(turn) * self._turning
            toward = ds * self._camera.width / (scale * scale)
            return x, scale, atan2(dx, toward), t * self._speed
        return self._middle, self._scale, self._faces + 0.25 * sin(t * 0.3 + self._start * 6), 0.0

    def scale(self, t: float) -> float:
        return self._where(t)[1]

    def draw(self, canvas: Canvas, owner: int, t: float) -> Person | None:
        shown = self.paint(canvas, owner, t)
        if shown is None:
            return None
        body, track = shown
        left, top, right, bottom = body.box()
        return Person((left, top, right - left, bottom - top), body.keypoints(), track)

    def paint(self, canvas: Canvas, owner: int, t: float) -> tuple[Body, int] | None:
        """Paint the figure; answers with its body and track id, or None when it is out of view."""
        lap, _ = self._lap(t)
        x, scale, heading, walked = self._where(t)
        rng = np.random.default_rng([self._seed, 1299709, self._index, lap + 1])
        build, look, habit = sk.Build.random(rng), Look.random(rng), np.clip(rng.normal(0, 1, 8), -2, 2)
        styles = sk.STANDING if self._mode == "stand" else sk.MOVING
        style = styles[int(rng.integers(0, len(styles)))]
        stride = (1.0 if style == "run" else 0.82) * build.height
        phase = t * 2.6 + habit[3] if self._mode == "stand" else walked / stride * 2 * pi + habit[3]
        foot = self._camera.place(x, scale)
        body = Body(sk.motion(style, phase, habit), build, look, View(foot, scale, heading, self._camera.pitch(scale)))
        reach = 0.8 * body.unit
        if not -reach < foot[0] < self._camera.width + reach or foot[1] - 1.3 * body.unit > self._camera.height:
            return None
        body.paint(canvas, owner)
        return body, lap * self._count + self._index + 1


class World:
    """A scene that can be filmed at any moment.

    seed: any integer from 0; the same seed gives the same scene on every run. width, height: pixels, 64 to 8192.
    people: how many figures live in it at once (0 to 100); None draws 2 to 8. tall: (smallest, largest) height of an
    adult in pixels; None suits the frame (about 40 to 300 at 360 rows).
    Raises MillraceError for sizes or counts out of range.
    """

    def __init__(
        self,
        seed: int,
        width: int = 640,
        height: int = 360,
        people: int | None = None,
        tall: tuple[float, float] | None = None,
    ) -> None:
        if not (64 <= width <= 8192 and 64 <= height <= 8192):
            raise MillraceError(f"world size {width}x{height} is out of range: give 64 to 8192 pixels a side")
        if seed < 0 or (people is not None and not 0 <= people <= 100):
            raise MillraceError(f"world seed {seed} with {people} people: give a seed from 0 and 0 to 100 people")
        rng = np.random.default_rng([seed, 15485863])
        self.seed, self.width, self.height = seed, width, height
        count = int(rng.integers(2, 9)) if people is None else people
        largest = float(height * np.exp(rng.uniform(np.log(0.36), np.log(0.85))))
        smallest = max(0.11 * height, largest * float(rng.uniform(0.25, 0.65)))
        smallest, largest = tall or (smallest, largest)
        horizon = height * float(rng.uniform(0.02, 0.45))
        ground = height * float(rng.uniform(0.84, 1.06))
        camera = Camera(width, height, horizon, max(0.8, (ground - horizon) / (largest / 1.72)))
        sizes = np.exp(rng.uniform(np.log(smallest), np.log(largest), count)) / 1.72
        self.actors: list[Actor] = [Figure(seed, k, count, camera, float(s)) for k, s in enumerate(sizes)]
        for _ in range(int(rng.integers(0, 5))):
            scale = float(np.exp(rng.uniform(np.log(smallest), np.log(largest)))) / 1.72
            x = float(rng.uniform(-0.5, 0.5)) * width / scale
            self.actors.append(PropActor(Prop(rng, camera.place(x, scale), scale)))
        self._background = background(rng, width, height, int(horizon))
        self._film = Film(rng, seed, width, height)

    def frame(self, t: float) -> tuple[Image, list[Person]]:
        """The picture (H, W, 3) RGB uint8 at `t` seconds, and everybody of whom at least a little can be seen."""
        canvas = Canvas(self._background)
        found: list[tuple[int, Person, int]] = []
        for owner, actor in enumerate(sorted(self.actors, key=lambda a: a.scale(t)), start=1):
            person = actor.draw(canvas, owner, t)
            if person is not None:
                left, top, width, height = person.box
                found.append((owner, person, canvas.count(owner, (left, top, left + width, top + height))))
        people = [p for owner, person, area in found if (p := self._annotate(canvas, owner, person, area)) is not None]
        return self._film.expose(canvas.rgb, t), people

    def frames(self, fps: float, count: int, start: float = 0.0) -> Iterator[tuple[Image, list[Person]]]:
        """`count` frames one after the other, `fps` a second, the first at `start` seconds."""
        for k in range(count):
            yield self.frame(start + k / fps)

    def _annotate(self, canvas: Canvas, owner: int, person: Person, area: int) -> Person | None:
        left, top, width, height = person.box
        x0, y0 = max(0.0, left), max(0.0, top)
        x1, y1 = min(float(self.width), left + width), min(float(self.height), top + height)
        seen = canvas.count(owner, (x0, y0, x1, y1)) if x1 > x0 and y1 > y0 else 0
        if not seen or x1 - x0 < 1 or y1 - y0 < 1:
            return None
        inside = (x1 - x0) * (y1 - y0) / (width * height)
        points = person.keypoints.copy()
        for point in points:
            column, row = int(np.floor(point[0])), int(np.floor(point[1]))
            if not (0 <= column < self.width and 0 <= row < self.height):
                point[2] = 0
            elif not (canvas.owner[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] == owner).any():
                point[2] = 1
        return Person((x0, y0, x1 - x0, y1 - y0), points, person.track_id, inside * seen / max(area, 1), person.label)


def as_array(people: list[Person]) -> tuple[Array, Array, Array]:
    """Ground truth as arrays: boxes (N, 4) left, top, width, height; keypoints (N, 17, 3); visible shares (N,)."""
    boxes = np.array([p.box for p in people], np.float64).reshape(-1, 4)
    points = np.array([p.keypoints for p in people], np.float64).reshape(-1, 17, 3)
    return boxes, points, np.array([p.visible for p in people], np.float64)
