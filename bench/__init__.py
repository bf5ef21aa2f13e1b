"""Measurements, made by `make bench` and never by a timed test."""
