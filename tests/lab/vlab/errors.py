# SPDX-License-Identifier: Apache-2.0
"""The one exception of the lab: a sentence for the person at the terminal."""


class LabError(Exception):
    """Something the user can read and act on; the front door prints it and exits with 1."""
