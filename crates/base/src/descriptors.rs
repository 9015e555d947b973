//! The process's limit on open files.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit on open files to the most the system allows this process, and returns it;
/// `None` when there is no limit.
///
/// The commit log keeps a descriptor per file of 64 MiB in each zone, and the usual soft limit of
/// 1,024 is used up by some 20 GiB of log and a few thousand connections.
pub fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Whether the process or the system ran out of files or memory: no fault of the disk, and taking
/// one disk after the other out for it would end the store.
#[must_use]
pub fn is_process_limit(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    error.kind() == io::ErrorKind::OutOfMemory
        || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        let raised = raise_descriptor_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, raised);
        assert_eq!(raised, getrlimit(Resource::Nofile).maximum);
    }
}
