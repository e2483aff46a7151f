"""GIMP 3 as a host of reverie: what GIMP loads is in `reverie-dream/`, the rest installs it."""
