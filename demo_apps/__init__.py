"""The applications that the labs put behind the mesh.

Each runs by `python -m demo_apps.NAME --host ADDRESS --port PORT` and by its `main(argv)`, which a forked
pod process calls. They know nothing of minimesh.
"""
