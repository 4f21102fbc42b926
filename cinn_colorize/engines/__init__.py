"""The network that draws: its interface, and the engines that compute it."""
