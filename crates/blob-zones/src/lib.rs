//! strongroom-blob-zones
