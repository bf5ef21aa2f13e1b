"""The bootstrap files of the suite, one a module, each a `Setting`: both proxies start from the same."""
