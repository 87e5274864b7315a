"""The stages of a deploy, one file each. They carry out a plan and decide nothing."""
