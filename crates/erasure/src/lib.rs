//! strongroom-erasure
