"""`python -m swapnet_ros.cli`: the `swapnet` command where it is not on the path."""

from swapnet_ros.cli.app import main

if __name__ == "__main__":
    main()
