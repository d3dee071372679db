"""Replay: a bag played into the live nodes, and what comes back measured."""
