"""Devices, memory, threads and time: what every part runs on, and what knows no video."""
