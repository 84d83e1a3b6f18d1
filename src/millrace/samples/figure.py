"""People of the procedural world: how they look, and how a posed body is projected, painted and annotated."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import cv2
import numpy as np
import numpy.typing as npt

from millrace.samples import skeleton as sk
from millrace.samples.drawing import Array, Canvas, Colour, capsules, disc, hull, shade

_SKIN: tuple[Colour, ...] = (
    (255, 219, 190), (240, 195, 160), (224, 172, 125), (198, 134, 90), (150, 100, 65), (105, 66, 42), (70, 45, 30),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = ((20, 16, 14), (45, 30, 20), (90, 58, 32), (165, 120, 60), (120, 115, 110), (140, 60, 25))


@dataclass(frozen=True)
class View:
    """Where a body stands in the picture.

    foot: (x, y) pixels of the ground point under it; scale: pixels per metre there; heading: radians, 0 faces the
    camera and pi/2 walks to the right; pitch: radians the camera looks down at it.
    """

    foot: tuple[float, float]
    scale: float
    heading: float
    pitch: float


@dataclass(frozen=True)
class Look:
    """Colours and clothes of one person."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    stripes: Colour | None
    sleeves: bool
    shorts: bool
    skirt: bool
    hat: bool
    long_hair: bool
    pack: bool
    light: float

    @staticmethod
    def random(rng: np.random.Generator) -> Look:
        """Draw clothes and colours."""

        def cloth() -> Colour:
            if rng.random() < 0.35:
                grey = float(rng.uniform(15, 240))
                return (grey, grey, grey)
            r, g, b = rng.uniform(10, 245, 3)
            return (float(r), float(g), float(b))

        return Look(
            skin=_SKIN[int(rng.integers(len(_SKIN)))],
            hair=_HAIR[int(rng.integers(len(_HAIR)))],
            shirt=cloth(),
            trousers=cloth() if rng.random() < 0.5 else shade(cloth(), 0.4),
            shoes=cloth(),
            stripes=cloth() if rng.random() < 0.25 else None,
            sleeves=bool(rng.random() < 0.55),
            shorts=bool(rng.random() < 0.2),
            skirt=bool(rng.random() < 0.12),
            hat=bool(rng.random() < 0.15),
            long_hair=bool(rng.random() < 0.3),
            pack=bool(rng.random() < 0.15),
            light=float(rng.uniform(-1, 1)),
        )


class Body:
    """One posed person projected into the picture: paints itself and gives the ground truth."""

    def __init__(self, pose: sk.Pose, build: sk.Build, look: Look, view: View) -> None:
        self.look = look
        self.build = build
        self.unit = view.scale * build.height
        c, s = cos(view.heading), sin(view.heading)
        cp, sp = cos(view.pitch), sin(view.pitch)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        tilt = np.array([[1, 0, 0], [0, -cp, sp], [0, sp, cp]])
        self._to_view = tilt @ turn
        body = sk.joints(pose, build)
        forward, up = sk.head_axes(body)
        self.forward, self.up = self._to_view @ forward, self._to_view @ up
        projected = body @ self._to_view.T
        self.points: Array = projected[:, :2] * self.unit + view.foot
        # Ordering ignores the camera's pitch: a low wrist is not farther away than the chest above it.
        self.depth: Array = (body @ turn.T)[:, 2]
        self.view = view
        self._low = np.array([np.inf, np.inf])
        self._high = -self._low
        self._torso: Array = np.zeros((0, 2))
        self._bag: Array = np.zeros((0, 2))

    def paint(self, canvas: Canvas, owner: int) -> None:
        """Draw the figure, far limbs first, as owner number `owner`."""
        canvas.darken(np.asarray(self.view.foot), 0.2 * self.unit, 0.05 * self.unit, 0.6)
        self._canvas, self._owner = canvas, owner
        arms = sorted((0, 1), key=lambda side: self.depth[sk.LELB + side] + self.depth[sk.LWRI + side])
        legs = sorted((0, 1), key=lambda side: self.depth[sk.LKNE + side] + self.depth[sk.LANK + side])
        behind = [a for a in arms if self._arm_depth(a) < 0]
        facing = self._to_view[2, 2] > 0
        for side in behind:
            self._arm(side)
        if self.look.pack and facing:
            self._pack()
        for side in legs:
            self._leg(side)
        self._trunk()
        if self.look.pack and not facing:
            self._pack()
        self._head()
        for side in arms:
            if side not in behind:
                self._arm(side)

    def _arm_depth(self, side: int) -> float:
        middle = 0.5 * (self.depth[sk.LELB + side] + self.depth[sk.LWRI + side])
        return float(middle - 0.5 * (self.depth[sk.CHEST] + self.depth[sk.PELVIS]))

    def _fill(self, outline: Array, colour: Colour, grow: bool = True) -> None:
        if grow:
            self._low = np.minimum(self._low, outline.min(axis=0))
            self._high = np.maximum(self._high, outline.max(axis=0))
        self._canvas.fill(outline, colour, self._owner)

    def _limbs(self, parts: list[tuple[Array, Array, float, float, Colour]], dim: float) -> None:
        """Tapered limbs (start, end, radius, radius in heights, colour), each with a lit core when large enough."""
        start, end = np.array([p[0] for p in parts]), np.array([p[1] for p in parts])
        r0 = np.array([max(p[2] * self.unit, 0.6) for p in parts])
        r1 = np.array([max(p[3] * self.unit, 0.6) for p in parts])
        outlines = capsules(start, end, r0, r1)
        lit = float(r0.max()) > 2.2
        shift = np.array([self.look.light * 0.35, -0.12])
        cores = (
            capsules(start + r0[:, None] * shift, end + r1[:, None] * shift, r0 * 0.55, r1 * 0.55) if lit else outlines
        )
        for k, part in enumerate(parts):
            self._fill(outlines[k], shade(part[4], dim * (0.84 if lit else 0.95)))
            if lit:
                self._fill(cores[k], shade(part[4], dim * 1.06), grow=False)

    def _leg(self, side: int) -> None:
        p, look, g = self.points, self.look, 0.5 + 0.5 * self.build.girth
        dim = 1.0 if self.depth[sk.LKNE + side] >= self.depth[sk.LKNE + 1 - side] else 0.86
        bare = look.shorts or look.skirt
        low = look.skin if bare else look.trousers
        knee, ankle = p[sk.LKNE + side], p[sk.LANK + side]
        self._limbs(
            [
                (p[sk.LHEEL + side], p[sk.LTOE + side], 0.021, 0.016, look.shoes),
                (ankle, p[sk.LHEEL + side], 0.02, 0.02, look.shoes),
                (knee, ankle, 0.035 * g, 0.022 * (1.0 if bare else 1.2) * g, low),
                (p[sk.LHIP + side], knee, 0.056 * g, 0.037 * g, look.skin if look.skirt else look.trousers),
            ],
            dim,
        )

    def _arm(self, side: int) -> None:
        p, look, g = self.points, self.look, 0.6 + 0.4 * self.build.girth
        dim = 1.0 if self._arm_depth(side) >= self._arm_depth(1 - side) else 0.86
        shoulder, elbow, wrist = p[sk.LSHO + side], p[sk.LELB + side], p[sk.LWRI + side]
        self._limbs(
            [
                (wrist, p[sk.LHAND + side], 0.018, 0.02, look.skin),
                (elbow, wrist, 0.026 * g, 0.019 * g, look.shirt if look.sleeves else look.skin),
                (shoulder, elbow, 0.035 * g, 0.027 * g, look.shirt),
            ],
            dim,
        )

    def _trunk(self) -> None:
        p, u, look, g = self.points, self.unit, self.look, self.build.girth
        hips = [disc(p[j], 0.058 * u * (0.5 + 0.5 * g), 0.05 * u) for j in (sk.LHIP, sk.RHIP)]
        tops = [disc(p[j], 0.036 * u, 0.036 * u) for j in (sk.LSHO, sk.RSHO)]
        chest = disc(p[sk.CHEST] * 0.75 + p[sk.PELVIS] * 0.25, 0.068 * u * g, 0.07 * u)
        if look.skirt:
            hem = p[[sk.LKNE, sk.RKNE]] * 0.75 + p[[sk.LHIP, sk.RHIP]] * 0.25
            skirt = [disc(h, 0.07 * u, 0.03 * u) for h in hem]
            self._fill(hull(np.concatenate(hips + skirt)), shade(look.trousers, 0.95))
        self._torso = hull(np.concatenate([*hips, *tops, chest]))
        self._fill(self._torso, shade(look.shirt, 0.88))
        if u > 50:
            core = self._torso * 0.72 + self._torso.mean(axis=0) * 0.28 + (0.02 * u * look.light, -0.008 * u)
            self._fill(core, shade(look.shirt, 1.05), grow=False)
        if look.stripes is not None and u > 45:
            a, b = p[[sk.LSHO, sk.RSHO]], p[[sk.LHIP, sk.RHIP]]
            at = np.linspace(0.2, 0.75, 4)[:, None]
            inset = 0.82
            left, right = a[0] * (1 - at) + b[0] * at, a[1] * (1 - at) + b[1] * at
            middle = 0.5 * (left + right)
            r = np.full(4, 0.012 * u)
            for band in capsules(middle + (left - middle) * inset, middle + (right - middle) * inset, r, r):
                self._fill(band, look.stripes, grow=False)
        self._limbs([(p[sk.CHEST], p[sk.NECK] * 0.5 + p[sk.HEAD] * 0.5, 0.03, 0.028, look.skin)], 0.92)

    def _pack(self) -> None:
        back = -self._to_view[:2, 2] * 0.07 * self.unit
        p = self.points
        top, bottom = p[sk.CHEST] * 0.85 + p[sk.PELVIS] * 0.15 + back, p[sk.CHEST] * 0.3 + p[sk.PELVIS] * 0.7 + back
        r = np.array([0.075 * self.unit])
        self._bag = capsules(top[None], bottom[None], r, r)[0]
        self._fill(self._bag, shade(self.look.stripes or self.look.shoes, 0.8))

    def _head(self) -> None:
        p, look = self.points, self.look
        r = 0.058 * self.build.head * self.unit
        centre, f, up = p[sk.HEAD], self.forward, self.up
        face = centre + (f[:2] * 0.18 - up[:2] * 0.12) * r
        hair = centre + (-f[:2] * 0.22 + up[:2] * 0.22) * r
        facing = f[2] > -0.25
        if look.long_hair:
            nape = centre + (-f[:2] * 0.45 - up[:2] * 1.3) * r
            self._fill(capsules(hair[None], nape[None], np.array([r]), np.array([0.75 * r]))[0], shade(look.hair, 0.9))
        parts = [(hair, 1.06, look.hair), (face, 0.94, look.skin)]
        for where, size, colour in parts if facing else parts[::-1]:
            self._fill(disc(where, size * r, size * r * 1.08), colour)
        if look.hat:
            brim = centre + (up[:2] * 0.5 + f[:2] * 0.25) * r
            self._fill(disc(brim, 1.25 * r, 0.4 * r), shade(look.shoes, 0.9))
            self._fill(disc(centre + up[:2] * 0.75 * r, 0.95 * r, 0.6 * r), look.shoes)
        for j in (sk.LEAR, sk.REAR):
            if self.depth[j] >= self.depth[sk.HEAD] - 0.01 and not look.long_hair:
                self._fill(disc(p[j], 0.17 * r, 0.26 * r), shade(look.skin, 0.82))
        if facing and f[2] > -0.1:
            for j in (sk.LEYE, sk.REYE):
                if self._seen(j):
                    if r > 5:
                        self._fill(disc(p[j], 0.2 * r, 0.14 * r), (240, 240, 240), grow=False)
                    self._fill(disc(p[j], 0.12 * r, 0.14 * r), (25, 20, 25), grow=False)
            self._fill(disc(p[sk.NOSE], 0.13 * r, 0.17 * r), shade(look.skin, 0.72))
            mouth = p[sk.NOSE] - (up[:2] * 0.42 + f[:2] * 0.15) * r
            self._fill(disc(mouth, 0.3 * r * max(0.3, f[2]), 0.07 * r), (150, 60, 60), grow=False)

    def _seen(self, joint: int) -> bool:
        return bool(self.depth[joint] - self.depth[sk.HEAD] > -0.006 * self.build.head)

    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of the whole silhouette in pixels, also where it leaves the picture."""
        return (float(self._low[0]), float(self._low[1]), float(self._high[0]), float(self._high[1]))

    def face_box(self) -> tuple[float, float, float, float] | None:
        """(left, top, right, bottom) of the face in pixels, or None when it is turned away."""
        if self.forward[2] < 0.2:
            return None
        r = 0.058 * self.build.head * self.unit
        x, y = self.points[sk.HEAD] + (self.forward[:2] * 0.18 - self.up[:2] * 0.12) * r
        return (float(x - 0.94 * r), float(y - 1.02 * r), float(x + 0.94 * r), float(y + 1.02 * r))

    def bag_box(self) -> tuple[float, float, float, float] | None:
        """(left, top, right, bottom) of the rucksack in pixels; None without one or when the trunk hides it."""
        if not len(self._bag) or self._to_view[2, 2] > 0.2:
            return None
        (left, top), (right, bottom) = self._bag.min(axis=0), self._bag.max(axis=0)
        return (float(left), float(top), float(right), float(bottom))

    def keypoints(self) -> npt.NDArray[np.float32]:
        """(17, 3) x, y in pixels, and 2 where the body itself does not hide the point, else 1."""
        result = np.concatenate([self.points[:17], np.full((17, 1), 2.0)], axis=1).astype(np.float32)
        for j in (sk.NOSE, sk.LEYE, sk.REYE, sk.LEAR, sk.REAR):
            if not self._seen(j):
                result[j, 2] = 1
        outline = self._torso.astype(np.float32)
        for side in (0, 1):
            if self._arm_depth(side) < 0:
                for j in (sk.LSHO + side, sk.LELB + side, sk.LWRI + side):
                    x, y = self.points[j]
                    far = self.depth[j] < self.depth[sk.CHEST] - 0.02
                    if far and cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0:
                        result[j, 2] = 1
        return result
