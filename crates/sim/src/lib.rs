//! strongroom-sim
