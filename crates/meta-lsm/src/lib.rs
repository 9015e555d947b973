//! strongroom-meta-lsm
