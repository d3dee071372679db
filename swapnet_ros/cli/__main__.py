"""The `swapnet` command as a program; `python -m swapnet_ros.cli` where it is not on the path."""

from swapnet_ros.one_heap import start_with_one_heap


def main() -> None:
    """Set the heap up, then run the command."""
    start_with_one_heap()
    from swapnet_ros.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
