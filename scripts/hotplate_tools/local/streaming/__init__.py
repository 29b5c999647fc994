"""Streaming functions on this machine: their Runtime API, their processes, their routes in the local cloud.

Standard library only, and nothing of this project: the local cloud runs it in an environment of its own.
"""
