"""The disposable hosts that are up; `fortyninety lab up` makes them."""

from lab.inventory import inventory

lab = inventory()
