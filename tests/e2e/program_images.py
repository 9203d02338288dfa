# SPDX-License-Identifier: Apache-2.0
"""The images of the programs, as they are shipped."""

from vlab import tools
from vlab.progress import step

import chart


def archives(architecture):
    """The archives of all images of an architecture, built where sources have changed."""
    output = chart.ROOT / "build" / "e2e" / f"images-{architecture}"
    with step(f"images for {architecture}"):
        tools.run(chart.ROOT / "images" / "build", "--architecture", architecture, "--output", output)
    return sorted(output.glob("*.tar"))
