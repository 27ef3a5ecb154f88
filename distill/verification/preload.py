"""Imported by the fork server before any worker: forked workers have the parser at once."""

from distill.verification import symbolic

symbolic.preload()
