//! strongroom-s3-front
