#!/usr/bin/env python
"""The shell's surface of the product."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cordboard.settings")
execute_from_command_line(sys.argv)
