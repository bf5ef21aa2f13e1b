"""The bootstrap files of the suite, one a module. Each is a `Setting`: both proxies start from the same file."""
