//! strongroom-admin-server
