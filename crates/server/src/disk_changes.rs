//! New disks in a store that serves: the folder is locked and handed to the engine.
//!
//! A folder is named by a person, so it is looked at before anything is made in it. And a start with
//! the flags of yesterday would go on without the disk that came in today: it is told where that is.
//!
//! Invariant
//! - Nothing is formatted in a folder that another process has, or that is not there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use strongroom_admin_server::{
    AddDiskRequest, AddZoneRequest, ApiError, DiskChanged, DiskJoined, ErrorCode,
    ReplaceDiskRequest, ZoneChanged, ZoneOrder,
};
use strongroom_base::{DiskLock, LockError, RealDisk};
use strongroom_meta_lsm::{ChangeError, LsmMeta};
use strongroom_zones::{
    DiskChange, DiskHandle, DiskId, Disks, NewDisk, OpenStore, OutReason, Store, Superblock,
};

use crate::settings::{Settings, Zone};

/// The locks of the disks that came in while the server runs; one change at a time.
#[derive(Default)]
pub struct DiskChanges {
    locks: Mutex<Vec<DiskLock>>,
}

impl DiskChanges {
    /// Puts a blank disk in the place of a dead one.
    ///
    /// # Errors
    /// What stands against it.
    pub fn replace(
        &self,
        meta: &LsmMeta,
        disks: &Disks,
        request: &ReplaceDiskRequest,
    ) -> Result<DiskJoined, ApiError> {
        let old = named(disks, &request.disk)?;
        self.join(meta, disks, &request.folder, |new| DiskChange::Replace {
            old: old.id,
            new,
            force: request.force.unwrap_or(false),
        })
    }

    /// Adds a blank disk to a zone.
    ///
    /// # Errors
    /// What stands against it.
    pub fn add(
        &self,
        meta: &LsmMeta,
        disks: &Disks,
        request: &AddDiskRequest,
    ) -> Result<DiskJoined, ApiError> {
        let zone = request.zone.clone();
        self.join(meta, disks, &request.folder, |new| DiskChange::Add {
            zone,
            new,
        })
    }

    /// Changes what a disk of the store is for: drains it, keeps it or removes it.
    ///
    /// # Errors
    /// What stands against it.
    pub fn change(
        &self,
        meta: &LsmMeta,
        disks: &Disks,
        disk: &str,
        change: impl FnOnce(DiskId) -> DiskChange,
    ) -> Result<DiskChanged, ApiError> {
        let _one_at_a_time = self.locks.lock().expect("no holder panics");
        let disk = named(disks, disk)?;
        meta.change_disks(change(disk.id)).map_err(refusal)?;
        Ok(DiskChanged {
            id: disk.id.to_string(),
            zone: disk.zone.clone(),
            folder: disk.name.clone(),
        })
    }

    /// Adds a zone of blank disks.
    ///
    /// # Errors
    /// What stands against it.
    pub fn add_zone(
        &self,
        meta: &LsmMeta,
        disks: &Disks,
        request: &AddZoneRequest,
    ) -> Result<ZoneChanged, ApiError> {
        let mut locks = self.locks.lock().expect("no holder panics");
        let folders = folders_of(request)?;
        let mut taken = Vec::new();
        for (index, folder) in folders.iter().enumerate() {
            if folders[..index].contains(folder) {
                return Err(ApiError::invalid(format!(
                    "{folder} is named twice: name a folder for each disk"
                )));
            }
            taken.extend(lock_folder(disks, folder)?);
        }
        let new = folders.iter().map(|folder| NewDisk {
            folder: folder.clone(),
            disk: Arc::new(RealDisk::new(folder)),
        });
        let (zone, new) = (request.zone.clone(), new.collect());
        let joined = meta.change_disks(DiskChange::AddZone { zone, new });
        if !matches!(joined, Err(ChangeError::Refused(_))) {
            locks.extend(taken);
        }
        joined.map_err(refusal)?;
        Ok(ZoneChanged {
            zone: request.zone.clone(),
            folders,
        })
    }

    /// Changes what a zone of the store is for: drains it, keeps it or removes it.
    ///
    /// # Errors
    /// What stands against it.
    pub fn change_zone(
        &self,
        meta: &LsmMeta,
        store: &Store,
        order: ZoneOrder,
        zone: &str,
    ) -> Result<ZoneChanged, ApiError> {
        let _one_at_a_time = self.locks.lock().expect("no holder panics");
        let disks = &store.opened().disks;
        let own = disks.all().iter().filter(|disk| disk.zone == zone);
        let own: Vec<Arc<DiskHandle>> = own.cloned().collect();
        let zone = zone.to_owned();
        let changed = ZoneChanged {
            zone: zone.clone(),
            folders: own.iter().map(|disk| disk.name.clone()).collect(),
        };
        let change = match order {
            ZoneOrder::Drain => DiskChange::DrainZone { zone },
            ZoneOrder::Keep => DiskChange::KeepZone { zone },
            ZoneOrder::Remove => DiskChange::RemoveZone { zone },
            ZoneOrder::Leave => {
                // Refused before anything changes, when it would be.
                let removal = store.prepare_change(DiskChange::RemoveZone { zone });
                removal.map_err(ApiError::invalid)?;
                for disk in own {
                    let why = "it is looked whether its zone can leave the store".to_owned();
                    disks.take_out(disk.id, OutReason::Failed(why));
                }
                return Ok(changed);
            }
        };
        meta.change_disks(change).map_err(refusal)?;
        Ok(changed)
    }

    fn join(
        &self,
        meta: &LsmMeta,
        disks: &Disks,
        folder: &str,
        change: impl FnOnce(NewDisk) -> DiskChange,
    ) -> Result<DiskJoined, ApiError> {
        let mut locks = self.locks.lock().expect("no holder panics");
        let lock = lock_folder(disks, folder)?;
        let new = NewDisk {
            folder: folder.to_owned(),
            disk: Arc::new(RealDisk::new(folder)),
        };
        let joined = meta.change_disks(change(new));
        if !matches!(joined, Err(ChangeError::Refused(_))) {
            locks.extend(lock);
        }
        let joined = joined.map_err(refusal)?;
        let joined = joined.into_iter().next();
        let joined = joined.expect("a disk that is added or replaces one comes in");
        Ok(DiskJoined {
            id: joined.id.to_string(),
            zone: joined.zone.clone(),
            folder: joined.name.clone(),
        })
    }
}

pub fn refusal(error: ChangeError) -> ApiError {
    match error {
        ChangeError::Refused(why) => ApiError::invalid(why),
        ChangeError::Unknown(why) => ApiError::new(ErrorCode::Unavailable, why),
    }
}

/// The disk with this id or folder.
fn named(disks: &Disks, name: &str) -> Result<Arc<DiskHandle>, ApiError> {
    let is_named = |disk: &&Arc<DiskHandle>| disk.id.to_string() == name || disk.name == name;
    let found: Vec<&Arc<DiskHandle>> = disks.all().iter().filter(is_named).collect();
    match found.as_slice() {
        [disk] => Ok(Arc::clone(disk)),
        [] => Err(ApiError::invalid(format!(
            "no disk of the store has the id or the folder {name}: `strongroom disks` lists them"
        ))),
        _ => Err(ApiError::invalid(format!(
            "several disks have the folder {name}: name one by its id"
        ))),
    }
}

/// The folders of a zone that could be given to the next start as a flag.
fn folders_of(request: &AddZoneRequest) -> Result<Vec<String>, ApiError> {
    let flag = format!("{}={}", request.zone, request.folders);
    let zone: Result<Zone, _> = flag.parse();
    zone.map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(request.folders.split(',').map(str::to_owned).collect())
}

/// Locks a folder for this process. `None` when it has it already, as the folder of a disk.
fn lock_folder(disks: &Disks, folder: &str) -> Result<Option<DiskLock>, ApiError> {
    let path = Path::new(folder);
    if !path.is_absolute() || !path.is_dir() {
        return Err(ApiError::invalid(format!(
            "{folder} is not the absolute path of a folder on the machine of the server: mount the \
             new disk and make an empty folder on it"
        )));
    }
    match DiskLock::acquire(path) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held) if disks.all().iter().any(|disk| disk.name == folder) => Ok(None),
        Err(LockError::Held) => Err(ApiError::invalid(format!(
            "{folder} is in use by another process: name another folder"
        ))),
        Err(LockError::Io(error)) => Err(ApiError::invalid(format!(
            "cannot use the folder {folder}: {error}"
        ))),
    }
}

/// Refuses a start whose flags leave out a disk that came in while the server ran, and that is where
/// it was then.
///
/// # Errors
/// One sentence that names it.
pub fn check_flags(settings: &Settings, opened: &OpenStore) -> Result<(), String> {
    let folders = settings.zones.iter().flat_map(|zone| &zone.folders);
    let folders: Vec<&PathBuf> = folders.collect();
    let layout = opened.disks.layout();
    for disk in opened.disks.all() {
        let Some(folder) = layout.folder_of(disk.id) else {
            continue;
        };
        let absent = matches!(disk.out_reason(), Some(OutReason::Absent(_)));
        if !absent
            || folders
                .iter()
                .any(|given| given.as_path() == Path::new(folder))
        {
            continue;
        }
        let found = Superblock::read(&RealDisk::new(folder));
        if found.is_ok_and(|found| found.disk == disk.id && found.store == opened.store) {
            return Err(format!(
                "{folder} holds a disk that was put into zone {} while the server ran: give \
                 --zone {}={folder}, in place of the folder of the disk it replaced if there was one",
                disk.zone, disk.zone
            ));
        }
    }
    Ok(())
}
