//! strongroom-zones
