"""Drawing with OpenGL on the processor: one scene and one body, frame by frame, into RGB images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.render.cameras import Shot
from builder.render.figure import Mesh
from builder.render.scene import Scene
from builder.types import Floats, SetupError

SAMPLES, SHADOW_PX, SHADOW_M = 4, 384, 1.7
NEAR_M, FAR_M = 0.2, 60.0

WORLD_VERTEX = """#version 330
uniform mat4 camera; uniform mat4 shadow;
in vec3 position; in vec3 normal; in vec2 uv;
out vec3 facing; out vec2 at; out vec3 lit;
void main() {
    gl_Position = camera * vec4(position, 1); facing = normal; at = uv; lit = (shadow * vec4(position, 1)).xyz;
}"""
WORLD_FRAGMENT = """#version 330
uniform sampler2D picture; uniform sampler2D mask; uniform vec3 to_sun; uniform vec3 sunlight; uniform vec3 shade; uniform float step;
in vec3 facing; in vec2 at; in vec3 lit;
out vec4 colour;
void main() {
    float dark = 0;
    vec2 here = lit.xy * 0.5 + 0.5;
    if (lit.z > 0.02 && here == clamp(here, 0.0, 1.0))
        for (int i = -1; i <= 1; i++) for (int j = -1; j <= 1; j++) dark += texture(mask, here + step * vec2(i, j)).r / 9;
    vec3 light = shade + sunlight * max(dot(facing, to_sun), 0) * (1 - 0.85 * dark);
    colour = vec4(texture(picture, at).rgb * light * (1 - 0.18 * dark), 1);
}"""
BODY_VERTEX = """#version 330
uniform mat4 camera; uniform mat4 moved[54];
in vec3 position; in vec3 normal; in vec3 tint; in vec4 joints; in vec4 weights;
out vec3 facing; out vec3 own;
void main() {
    mat4 m = weights.x * moved[int(joints.x)] + weights.y * moved[int(joints.y)]
           + weights.z * moved[int(joints.z)] + weights.w * moved[int(joints.w)];
    gl_Position = camera * m * vec4(position, 1); facing = mat3(m) * normal; own = tint;
}"""
BODY_FRAGMENT = """#version 330
uniform vec3 to_sun; uniform vec3 sunlight; uniform vec3 shade;
in vec3 facing; in vec3 own;
out vec4 colour;
void main() {
    vec3 n = normalize(facing);
    float wrap = max((dot(n, to_sun) + 0.25) / 1.25, 0);
    colour = vec4(own * (shade * (0.80 + 0.25 * n.y) + sunlight * wrap), 1);
}"""
MASK_FRAGMENT = """#version 330
in vec3 facing; in vec3 own; out vec4 colour;
void main() { colour = vec4(1); }"""


@contextmanager
def _context() -> Iterator[Any]:
    """A graphics context without a window.  Raises SetupError with what to install."""
    try:
        import moderngl
    except ImportError as error:
        raise SetupError(f"cannot draw: {error}; install it with: pip install 'humanmovevqa[render]'") from None
    try:
        context = moderngl.create_context(standalone=True, backend="egl")  # type: ignore[arg-type]  # its stub is wrong
    except Exception as error:  # glcontext raises plain Exception for a missing library and for a missing device
        raise SetupError(f"cannot draw: no EGL ({error}); install it with: apt-get install libegl1 libgl1-mesa-dri") from None
    try:
        yield context
    finally:
        context.release()


def paint(scene: Scene, mesh: Mesh | None, moved: NDArray[np.float32], shot: Shot, frames: range) -> Iterator[NDArray[np.uint8]]:
    """Images (H, W, 3) of the frames of a shot, one at a time; `moved` (T, 54, 4, 4) moves the mesh.  Without a mesh nobody is there.

    Raises SetupError when there is nothing to draw with.
    """
    with _context() as ctx:
        size = (shot.width, shot.height)
        ctx.enable(ctx.DEPTH_TEST)
        canvas = ctx.framebuffer([ctx.renderbuffer(size, 3, samples=SAMPLES)], ctx.depth_renderbuffer(size, samples=SAMPLES))
        plain = ctx.framebuffer([ctx.renderbuffer(size, 3)])
        mask_image = ctx.texture((SHADOW_PX, SHADOW_PX), 1)
        mask_image.repeat_x = mask_image.repeat_y = False
        mask = ctx.framebuffer([mask_image])
        world = ctx.program(WORLD_VERTEX, WORLD_FRAGMENT)
        walls = [_surface(ctx, world, surface.vertices, surface.texture) for surface in scene.surfaces]
        people = [ctx.program(BODY_VERTEX, fragment) for fragment in (BODY_FRAGMENT, MASK_FRAGMENT)]
        figures = [] if mesh is None else _figures(ctx, people, mesh)
        for program in (world, people[0]):
            _set(program, to_sun=scene.to_sun, sunlight=scene.sunlight, shade=scene.shade)
        _set(world, picture=0, mask=1, step=1.5 / SHADOW_PX)
        for frame in frames:
            camera, shadow = _view(shot, frame), _from_sun(scene.to_sun, moved[frame, 0])
            mask.use()
            mask.clear()
            for program, matrix in zip(people, (camera, shadow), strict=True):
                _set(program, camera=matrix.T, moved=moved[frame].transpose(0, 2, 1))
            if figures:
                figures[1].render()
            canvas.use()
            canvas.clear(*scene.sky)
            _set(world, camera=camera.T, shadow=shadow.T)
            mask_image.use(1)
            for vertices, picture in walls:
                picture.use(0)
                vertices.render()
            if figures:
                figures[0].render()
            ctx.copy_framebuffer(plain, canvas)
            yield np.frombuffer(plain.read(components=3, alignment=1), np.uint8).reshape(shot.height, shot.width, 3)


def _set(program: Any, **values: Any) -> None:
    """Uniforms by name; those that the compiler left out are skipped."""
    for name, value in values.items():
        if name in program:
            if isinstance(value, np.ndarray):
                program[name].write(np.ascontiguousarray(value, dtype=np.float32).tobytes())
            else:
                program[name].value = value


def _surface(ctx: Any, program: Any, vertices: NDArray[np.float32], picture: NDArray[np.uint8]) -> tuple[Any, Any]:
    texture = ctx.texture((picture.shape[1], picture.shape[0]), 3, np.ascontiguousarray(picture).tobytes(), alignment=1)
    texture.build_mipmaps()  # no anisotropic filter: it hangs Mesa's software renderer
    buffer = ctx.buffer(np.ascontiguousarray(vertices, dtype=np.float32).tobytes())
    return ctx.vertex_array(program, [(buffer, "3f 3f 2f", "position", "normal", "uv")]), texture


def _figures(ctx: Any, programs: list[Any], mesh: Mesh) -> list[Any]:
    rows = np.concatenate([mesh.vertices, mesh.normals, mesh.colours, mesh.joints, mesh.weights], axis=1).astype(np.float32)
    buffer, index = ctx.buffer(rows.tobytes()), ctx.buffer(mesh.faces.astype(np.int32).tobytes())
    whole = [(buffer, "3f 3f 3f 4f 4f", "position", "normal", "tint", "joints", "weights")]
    bare = [(buffer, "3f 12x 12x 4f 4f", "position", "joints", "weights")]
    return [ctx.vertex_array(programs[0], whole, index), ctx.vertex_array(programs[1], bare, index)]


def _view(shot: Shot, frame: int) -> Floats:
    """World to clip space; upside down, so that the rows come out from the top."""
    k, (w, h) = shot.camera_matrix, (shot.width, shot.height)
    depth = (FAR_M + NEAR_M) / (FAR_M - NEAR_M), -2 * FAR_M * NEAR_M / (FAR_M - NEAR_M)
    clip = np.array(
        [[2 * k[0, 0] / w, 0, 2 * k[0, 2] / w - 1, 0], [0, 2 * k[1, 1] / h, 2 * k[1, 2] / h - 1, 0], [0, 0, *depth], [0, 0, 1, 0]]
    )
    return np.asarray(clip @ np.linalg.inv(shot.camera_to_world[frame]))


def _from_sun(to_sun: Floats, pelvis: NDArray[np.float32]) -> Floats:
    """World to the square that the sun sees about a person; its depth grows away from the sun and is 0 at the pelvis' rest point."""
    away = -to_sun / np.linalg.norm(to_sun)
    right = np.cross(away, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(away, right), away])
    centre = (pelvis @ [0.0, -0.35, 0.0, 1.0])[:3]
    out = np.eye(4)
    out[:3, :3] = axes / [[SHADOW_M], [SHADOW_M], [6.0]]
    out[:3, 3] = -out[:3, :3] @ centre
    return out
