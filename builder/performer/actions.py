"""What a scripted person can do: small frozen actions, each an exact change of pose over time.

An action's `change(t)` gives (n, 6) rows of `CHANNELS` at `t` (n,) seconds since its start, relative to the pose that it starts
in: metres to the left, up and forward *of the facing it starts with*, degrees turned left, leant forward and leant left.
`t` beyond `[0, seconds]` is held at the ends.  Everything starts and stops smoothly (minimum jerk), except a jump's flight.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from builder.types import Floats

CHANNELS = ("left_m", "up_m", "forward_m", "yaw_deg", "pitch_deg", "roll_deg")
GRAVITY = 9.81
RAMP_S = 0.6  # a walker reaches walking speed in about one step
LEAN_DEG_PER_S = 30.0
SEAT = (-0.42, -0.2)  # pelvis from standing to a chair of ordinary height: metres up, metres forward


class Action:
    """One movement of a scripted person."""

    steps = False  # whether the feet step, so that gait swings the pelvis

    @property
    def seconds(self) -> float:
        """How long it takes."""
        raise NotImplementedError

    def change(self, t: Floats) -> Floats:
        """Pose change (n, 6) in `CHANNELS` at `t` (n,) seconds since the start."""
        raise NotImplementedError

    def expand(self, pose: Floats) -> tuple[Action, ...]:
        """The plain actions that this one stands for when it starts at `pose` (6,): itself, unless it depends on the pose."""
        return (self,)

    def as_json(self) -> dict[str, Any]:
        """The action's name and numbers, JSON-ready."""
        return {"action": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]


def rows(t: Floats, **channels: Floats) -> Floats:
    """Pose changes (n, 6) at `t` (n,) from the named channels; the others stay 0."""
    out = np.zeros((len(t), len(CHANNELS)))
    for name, values in channels.items():
        out[:, CHANNELS.index(name)] = values
    return out


def smooth(share: Floats) -> Floats:
    """Minimum-jerk progress 0 to 1 for `share` of the time, any shape; still at both ends."""
    u = np.clip(share, 0.0, 1.0)
    return np.asarray(u**3 * (10 - 15 * u + 6 * u**2))


def there_and_back(t: Floats, move_s: float, hold_s: float) -> Floats:
    """Progress (n,) from 0 to 1 in `move_s`, held for `hold_s`, and back to 0 in `move_s`."""
    return smooth(t / move_s) - smooth((t - move_s - hold_s) / move_s)


def side(degrees: float | Floats) -> tuple[Floats, Floats]:
    """Left and forward parts of a unit step in a direction of `degrees` to the left of forward."""
    angle = np.radians(degrees)
    return np.asarray(np.sin(angle)), np.asarray(np.cos(angle))


def turn_to(heading_deg: float, bearing_deg: float, way: int) -> float:
    """Degrees to turn from a heading to a bearing: the short way, or the `way` side (1 left, -1 right) when nearly opposite."""
    degrees = (bearing_deg - heading_deg + 180.0) % 360.0 - 180.0
    return degrees + 360.0 * way if abs(degrees) > 150.0 and degrees * way < 0 else degrees


class _Travel(Action):
    """Going `metres` along a line or a curve that turns by `degrees`, in a direction relative to the facing."""

    steps = True
    metres: float
    speed: float
    direction_deg: float = 0.0
    degrees: float = 0.0
    rise: float = 0.0

    @property
    def seconds(self) -> float:
        return self.metres / self.speed + self._ramp_s if self.speed > 0 else 0.0

    @property
    def _ramp_s(self) -> float:
        return min(RAMP_S, self.metres / self.speed)

    def change(self, t: Floats) -> Floats:
        ramp = self._ramp_s

        def started(seconds: Floats) -> Floats:  # metres gone after starting to move, the integral of a cosine ramp
            u = np.clip(seconds / ramp, 0.0, 1.0)
            return np.asarray(self.speed * (ramp * (u - np.sin(np.pi * u) / np.pi) / 2 + np.maximum(seconds - ramp, 0.0)))

        t = np.clip(t, 0.0, self.seconds)
        share = (started(t) - started(t - (self.seconds - ramp))) / self.metres
        turned = self.degrees * share
        left, forward = side(self.direction_deg + turned / 2)  # the chord of an arc points half-way round it
        chord = self.metres * share * np.sinc(turned / 360.0)
        return rows(t, left_m=chord * left, up_m=self.rise * share, forward_m=chord * forward, yaw_deg=turned)


@dataclass(frozen=True)
class Walk(_Travel):
    """Walk straight; `direction_deg` is relative to the facing: 180 backs away, 90 side-steps to the left."""

    metres: float
    direction_deg: float = 0.0
    speed: float = 1.3


@dataclass(frozen=True)
class Run(_Travel):
    """Run straight ahead."""

    metres: float
    speed: float = 2.8


@dataclass(frozen=True)
class Arc(_Travel):
    """Walk a curve of `metres` while turning by `degrees`, positive to the left; 360 is a loop."""

    metres: float
    degrees: float
    speed: float = 1.1
    direction_deg: float = 0.0


@dataclass(frozen=True)
class Stairs(_Travel):
    """Climb (`rise` > 0) or go down stairs of `metres` along the floor."""

    metres: float
    rise: float
    speed: float = 0.6


@dataclass(frozen=True)
class Wait(Action):
    """Stand (or sit) where one is."""

    length_s: float

    @property
    def seconds(self) -> float:
        return self.length_s

    def change(self, t: Floats) -> Floats:
        return rows(t)


@dataclass(frozen=True)
class Turn(Action):
    """Turn on the spot, positive to the left; without `length_s` at a mean of 75 degrees per second."""

    degrees: float
    length_s: float = 0.0
    steps = True

    @property
    def seconds(self) -> float:
        return self.length_s or max(0.7, abs(self.degrees) / 75.0)

    def change(self, t: Floats) -> Floats:
        return rows(t, yaw_deg=self.degrees * smooth(t / self.seconds))


@dataclass(frozen=True)
class Jump(Action):
    """Jump: dip, push off, fly so that the pelvis peaks `height` above standing, land in a dip, stand up.

    With `metres` the flight goes that far in `direction_deg`.
    """

    height: float = 0.3
    metres: float = 0.0
    direction_deg: float = 0.0
    dip: float = 0.16

    @property
    def seconds(self) -> float:
        return float(self._phases()[-1])

    def _phases(self) -> Floats:
        speed = np.sqrt(2 * GRAVITY * self.height)
        push_s = 2 * self.dip / speed  # from rest to take-off speed at a constant push
        return np.cumsum([0.4, push_s, 2 * speed / GRAVITY, push_s, 0.5])

    def change(self, t: Floats) -> Floats:
        speed = np.sqrt(2 * GRAVITY * self.height)
        dipped, off, landed, low, end = self._phases()
        push = speed / (off - dipped)
        up = np.select(
            [t < dipped, t < off, t < landed, t < low],
            [
                -self.dip * smooth(t / dipped),
                -self.dip + push * (t - dipped) ** 2 / 2,
                speed * (t - off) - GRAVITY * (t - off) ** 2 / 2,
                -self.dip + push * (low - t) ** 2 / 2,
            ],
            -self.dip * (1 - smooth((t - low) / (end - low))),
        )
        gone = self.metres * smooth((t - dipped) / (low - dipped))
        left, forward = side(self.direction_deg)
        return rows(t, left_m=gone * left, up_m=up, forward_m=gone * forward)


@dataclass(frozen=True)
class Crouch(Action):
    """Lower the pelvis by `depth` metres with a slight forward tilt, hold, and stand up again."""

    depth: float = 0.45
    hold_s: float = 1.0

    @property
    def _move_s(self) -> float:
        return 0.5 + self.depth

    @property
    def seconds(self) -> float:
        return 2 * self._move_s + self.hold_s

    def change(self, t: Floats) -> Floats:
        share = there_and_back(t, self._move_s, self.hold_s)
        return rows(t, up_m=-self.depth * share, forward_m=-0.06 * share, pitch_deg=12.0 * share)


@dataclass(frozen=True)
class Sit(Action):
    """Sit down on a chair behind and stay seated for `hold_s` (and until `StandUp`)."""

    hold_s: float = 1.0
    move_s: float = 1.3
    sign = 1

    @property
    def seconds(self) -> float:
        return self.move_s + self.hold_s

    def change(self, t: Floats) -> Floats:
        share = self.sign * smooth(t / self.move_s)
        bow = there_and_back(t, self.move_s / 2, 0.0)
        return rows(t, up_m=SEAT[0] * share, forward_m=SEAT[1] * share, pitch_deg=12.0 * bow)


@dataclass(frozen=True)
class StandUp(Sit):
    """Stand up from the chair that `Sit` sat down on."""

    hold_s: float = 0.0
    sign = -1


@dataclass(frozen=True)
class Lean(Action):
    """Tilt the trunk forward (`pitch_deg` > 0) or to the left (`roll_deg` > 0), hold, and come upright again."""

    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    hold_s: float = 0.8

    @property
    def _move_s(self) -> float:
        return max(0.6, float(np.hypot(self.pitch_deg, self.roll_deg)) / LEAN_DEG_PER_S)

    @property
    def seconds(self) -> float:
        return 2 * self._move_s + self.hold_s

    def change(self, t: Floats) -> Floats:
        share = there_and_back(t, self._move_s, self.hold_s)
        return rows(t, pitch_deg=self.pitch_deg * share, roll_deg=self.roll_deg * share)


@dataclass(frozen=True)
class ReturnToStart(Action):
    """Go back to where the script began, or `share` of the way; `turning` towards it first, or walking there as one faces.

    `way` is the side of the turn when the start lies behind (1 left, -1 right).
    """

    speed: float = 1.2
    turning: bool = True
    way: int = 1
    share: float = 1.0

    def expand(self, pose: Floats) -> tuple[Action, ...]:
        metres = self.share * float(np.hypot(pose[0], pose[2]))
        if metres < 0.1:
            return ()
        degrees = turn_to(float(pose[3]), float(np.degrees(np.arctan2(-pose[0], -pose[2]))), self.way)
        if self.turning and abs(degrees) > 15.0:
            return (Turn(degrees), Walk(metres, speed=self.speed))
        return (Walk(metres, direction_deg=degrees, speed=self.speed),)
