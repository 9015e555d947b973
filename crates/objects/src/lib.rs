//! strongroom-objects
