//! From folders to a store: read the superblocks, format a new store, or refuse with a sentence.
//!
//! A disk is formatted only when every disk of the configuration is blank or was being formatted
//! (hazards H5, H6): an empty folder next to formatted ones is an unmounted disk, not a new one.
//! The member list in the superblocks decides what a majority is, never the command line.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use strongroom_base::sync::mpsc::channel;

use strongroom_base::{DiskRef, Random, tasks};

use crate::batch::{Batch, BatchHeader, BatchKind, Generation};
use crate::counters::Counters;
use crate::disks::{DiskHandle, DiskId, Disks, MEMBER_COUNT_MAX, MemberIndex, OutReason};
use crate::layout::Changes;
use crate::member_log::{LOG_DIR, MemberLog};
use crate::superblock::{
    DiskState, Promise, SUPERBLOCK_FORMAT, StoreId, Superblock, SuperblockError, ZoneMember,
};

/// Most disks of one zone: what a superblock of 64 zones can list in 64 KiB.
pub const DISK_COUNT_PER_ZONE_MAX: usize = 64;
/// How often absent disks are looked for again while a start waits for them.
const ABSENT_POLL: Duration = Duration::from_millis(200);

/// A folder given by the operator.
#[derive(Clone)]
pub struct DiskSpec {
    pub zone: String,
    /// For messages.
    pub name: String,
    pub disk: DiskRef,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// How long a start waits for disks that are configured and absent.
    pub member_wait: Duration,
    /// Size of a log file when the next is begun.
    pub log_file_size: u64,
    /// After the others synced a batch, how long one member may take before it is put out.
    pub hang_limit: Duration,
    /// How long a batch may wait for a majority before commits are refused.
    pub commit_deadline: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            member_wait: Duration::from_secs(10),
            log_file_size: 64 * 1024 * 1024,
            hang_limit: Duration::from_secs(3),
            commit_deadline: Duration::from_secs(20),
        }
    }
}

/// Why the start stops. The text is one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Refused(String),
    #[error("cannot use {name}: {error}")]
    Io { name: String, error: io::Error },
}

/// A store whose disks are known and whose log was not looked at yet.
pub struct OpenStore {
    pub store: StoreId,
    /// Counts process starts; larger than that of any earlier start these disks remember.
    pub run: u64,
    pub disks: Arc<Disks>,
    /// The zones as they were when it was opened.
    pub zones: Vec<ZoneMember>,
    pub options: OpenOptions,
    pub random: Arc<dyn Random>,
}

impl std::fmt::Debug for OpenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenStore")
            .field("store", &self.store)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

/// What a look at one configured disk found.
pub(crate) enum Found {
    Blank,
    Superblock(Superblock),
    Bad(String),
}

/// Opens or formats the store on `specs`.
///
/// # Errors
/// One sentence: a wrong disk, label or format, a folder that holds something else, nothing to open.
pub fn open(
    specs: &[DiskSpec],
    options: OpenOptions,
    random: Arc<dyn Random>,
) -> Result<OpenStore, OpenError> {
    check_specs(specs)?;
    let mut waited = Duration::ZERO;
    let found = loop {
        let (found, hangs) = look(specs, options.hang_limit)?;
        if hangs {
            waited += options.hang_limit;
        }
        let formed = found.iter().any(is_formed);
        let missing = found.iter().any(|f| !matches!(f, Found::Superblock(_)));
        if !formed || !missing || waited >= options.member_wait {
            break found;
        }
        tasks::sleep_thread(ABSENT_POLL);
        waited += ABSENT_POLL;
    };
    let superblocks = if found.iter().any(is_formed) {
        found
    } else {
        format(specs, found, &*random)?
    };
    assemble(specs, superblocks, options, random)
}

fn is_formed(found: &Found) -> bool {
    matches!(found, Found::Superblock(block) if block.state != DiskState::Forming)
}

fn check_specs(specs: &[DiskSpec]) -> Result<(), OpenError> {
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for spec in specs {
        *zones.entry(&spec.zone).or_default() += 1;
    }
    let refuse = |text: &str| Err(OpenError::Refused(text.to_owned()));
    if specs.is_empty() {
        return refuse("no disk is configured: give --data DIR or at least one --zone NAME=DIR");
    }
    if zones.len() > MEMBER_COUNT_MAX || zones.values().any(|n| *n > DISK_COUNT_PER_ZONE_MAX) {
        return refuse("a store has at most 64 zones of at most 64 disks: use fewer");
    }
    Ok(())
}

/// Looks at all disks at once, each on a thread of its own: one that hangs is as good as absent
/// once nobody has answered for `limit`, and its thread is abandoned (H50). Whether one hangs.
fn look(specs: &[DiskSpec], limit: Duration) -> Result<(Vec<Found>, bool), OpenError> {
    let (answer, answers) = channel();
    for (index, spec) in specs.iter().cloned().enumerate() {
        let answer = answer.clone();
        tasks::spawn_thread(&format!("look {}", spec.name), move || {
            let _ = answer.send((index, look_at(&spec)));
        });
    }
    drop(answer);
    let mut found: Vec<Option<Found>> = specs.iter().map(|_| None).collect();
    while let Ok((index, answer)) = answers.recv_timeout(limit) {
        found[index] = Some(answer?);
    }
    let hung = || Found::Bad(format!("it did not answer for {} ms", limit.as_millis()));
    let hangs = found.iter().any(Option::is_none);
    let found = found.into_iter().map(|found| found.unwrap_or_else(hung));
    Ok((found.collect(), hangs))
}

pub(crate) fn look_at(spec: &DiskSpec) -> Result<Found, OpenError> {
    match Superblock::read(&*spec.disk) {
        Ok(block) => Ok(Found::Superblock(block)),
        Err(SuperblockError::Newer(version)) => Err(OpenError::Refused(format!(
            "{} was written by a newer program (format {version}, this one knows up to \
             {SUPERBLOCK_FORMAT}): start that program, or a newer one",
            spec.name
        ))),
        Err(SuperblockError::Absent) => match spec.disk.list("") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Blank),
            Err(error) => Ok(Found::Bad(error.to_string())),
            Ok(names) => {
                let ours = ["lost+found", "lock", "superblock.new"];
                match names.iter().find(|name| !ours.contains(&name.as_str())) {
                    None => Ok(Found::Blank),
                    Some(name) => Ok(Found::Bad(format!("it has no superblock but holds {name}"))),
                }
            }
        },
        Err(error) => Ok(Found::Bad(error.to_string())),
    }
}

/// Formats a store of blank disks, or finishes a format that was cut short. The order makes every
/// crash harmless: `forming` everywhere, then every member's first batch, then `formed`.
fn format(
    specs: &[DiskSpec],
    found: Vec<Found>,
    random: &dyn Random,
) -> Result<Vec<Found>, OpenError> {
    for (spec, found) in specs.iter().zip(&found) {
        if let Found::Bad(why) = found {
            return Err(OpenError::Refused(format!(
                "{} is not empty and not a disk of a store ({why}): give an empty folder",
                spec.name
            )));
        }
    }
    let mut blocks = plan_format(specs, &found, random)?;
    let failed = |spec: &DiskSpec| {
        let name = spec.name.clone();
        move |error| OpenError::Io { name, error }
    };
    for (spec, block) in specs.iter().zip(&blocks) {
        spec.disk.create_dir("").map_err(failed(spec))?;
        block.write(&*spec.disk).map_err(failed(spec))?;
    }
    for (spec, block) in specs.iter().zip(&blocks) {
        if block.log_disk == block.disk {
            first_batch(&spec.disk, block).map_err(failed(spec))?;
        }
    }
    for (spec, block) in specs.iter().zip(&mut blocks) {
        block.state = DiskState::Formed;
        block.write(&*spec.disk).map_err(failed(spec))?;
    }
    tracing::info!(store = %blocks[0].store, disks = blocks.len(), "new store formatted");
    Ok(blocks.into_iter().map(Found::Superblock).collect())
}

/// The superblocks of a new store: those of an interrupted format are kept where they fit.
fn plan_format(
    specs: &[DiskSpec],
    found: &[Found],
    random: &dyn Random,
) -> Result<Vec<Superblock>, OpenError> {
    let begun = found.iter().find_map(|f| match f {
        Found::Superblock(block) => Some(block.clone()),
        _ => None,
    });
    if let Some(begun) = begun {
        return resume_format(specs, found, &begun);
    }
    let ids: Vec<DiskId> = specs.iter().map(|_| DiskId(random.next_16())).collect();
    let mut zones: Vec<ZoneMember> = Vec::new();
    for (spec, id) in specs.iter().zip(&ids) {
        match zones.iter_mut().find(|zone| zone.name == spec.zone) {
            Some(zone) => zone.disks.push(*id),
            None => zones.push(ZoneMember {
                name: spec.zone.clone(),
                disks: vec![*id],
            }),
        }
    }
    let store = StoreId(random.next_16());
    let generation = Generation {
        counter: 1,
        tag: random.next_u64(),
    };
    let mut template = Superblock {
        store,
        disk: DiskId([0; 16]),
        zone: String::new(),
        state: DiskState::Forming,
        run: 0,
        promise: Promise {
            generation,
            service: 0,
        },
        log_disk: DiskId([0; 16]),
        zones,
        changes: Changes::default(),
    };
    let members = template.members();
    template.promise.service = service_of_all(members.len());
    Ok(specs
        .iter()
        .zip(&ids)
        .map(|(spec, id)| {
            let home = members
                .iter()
                .find(|(_, disks)| disks.contains(id))
                .expect("listed above");
            Superblock {
                disk: *id,
                zone: spec.zone.clone(),
                log_disk: home.1[0],
                ..template.clone()
            }
        })
        .collect())
}

/// Continues a format: the disks that have a superblock keep it; a blank one takes a place of its
/// zone that no present disk has.
fn resume_format(
    specs: &[DiskSpec],
    found: &[Found],
    begun: &Superblock,
) -> Result<Vec<Superblock>, OpenError> {
    let taken: Vec<DiskId> = found
        .iter()
        .filter_map(|f| match f {
            Found::Superblock(block) => Some(block.disk),
            _ => None,
        })
        .collect();
    let mut free: Vec<(String, DiskId)> = begun
        .zones
        .iter()
        .flat_map(|zone| zone.disks.iter().map(|disk| (zone.name.clone(), *disk)))
        .filter(|(_, disk)| !taken.contains(disk))
        .collect();
    let members = begun.members();
    let changed = || {
        OpenError::Refused(
            "formatting was interrupted under another configuration: start with the zones and \
             folders given then, or empty the folders"
                .into(),
        )
    };
    let mut blocks = Vec::new();
    for (spec, found) in specs.iter().zip(found) {
        let disk = match found {
            Found::Superblock(block) if block.store == begun.store && block.zone == spec.zone => {
                block.disk
            }
            Found::Superblock(_) => return Err(changed()),
            _ => {
                let place = free.iter().position(|(zone, _)| *zone == spec.zone);
                free.remove(place.ok_or_else(changed)?).1
            }
        };
        let home = members
            .iter()
            .find(|(_, disks)| disks.contains(&disk))
            .ok_or_else(changed)?;
        let (zone, log_disk) = (spec.zone.clone(), home.1[0]);
        blocks.push(Superblock {
            disk,
            zone,
            log_disk,
            state: DiskState::Forming,
            ..begun.clone()
        });
    }
    if free.is_empty() {
        Ok(blocks)
    } else {
        Err(changed())
    }
}

pub(crate) fn service_of_all(members: usize) -> u64 {
    if members >= 64 {
        u64::MAX
    } else {
        (1 << members) - 1
    }
}

/// Begins a member's log with the membership batch of the first generation.
fn first_batch(disk: &DiskRef, block: &Superblock) -> io::Result<()> {
    disk.remove_dir_all(LOG_DIR)?;
    MemberLog::create_dir(disk)?;
    let log = MemberLog::open(Arc::clone(disk), block.store)?;
    let header = BatchHeader {
        kind: BatchKind::Membership,
        store: block.store,
        generation: block.promise.generation,
        number: 1,
        previous: [0; 16],
        acknowledged: 0,
        service: block.promise.service,
        stamp_mark: 0,
        lock_clock: 0,
        run: 0,
        body_len: 0,
        body_checksum: [0; 16],
    };
    let mut tail = log.begin(1, 1, block.promise.generation.tag, 0)?;
    log.append(
        &mut tail,
        &Batch {
            header: header.seal(&[]),
            body: bytes::Bytes::new(),
        },
    )
}

/// Matches the disks found with the member list.
fn assemble(
    specs: &[DiskSpec],
    found: Vec<Found>,
    options: OpenOptions,
    random: Arc<dyn Random>,
) -> Result<OpenStore, OpenError> {
    let newest = newest(specs, &found)?;
    let mut present: BTreeMap<DiskId, &DiskSpec> = BTreeMap::new();
    let mut absent: Vec<(&DiskSpec, String)> = Vec::new();
    let mut run = 0;
    for (spec, found) in specs.iter().zip(&found) {
        match found {
            Found::Superblock(block) => {
                check_identity(spec, block, &newest)?;
                run = run.max(block.run);
                if present.insert(block.disk, spec).is_some() {
                    return Err(OpenError::Refused(format!(
                        "{} is a copy of another configured disk: configure each disk once",
                        spec.name
                    )));
                }
            }
            Found::Blank => absent.push((spec, "its folder is blank: is the disk mounted?".into())),
            Found::Bad(why) => absent.push((spec, why.clone())),
        }
    }
    let layout = newest.layout();
    let handles = handles(&newest, &present, &mut absent);
    for (spec, why) in &absent {
        let zone = newest.zones.iter().find(|zone| zone.name == spec.zone);
        let why = match zone {
            Some(zone) if zone.disks.is_empty() => "was removed from the store",
            Some(_) => {
                tracing::warn!(disk = %spec.name, zone = %spec.zone, %why, "disk is not in service");
                continue;
            }
            None => "is not in the store's member list",
        };
        return Err(OpenError::Refused(format!(
            "zone {} {why}: take it out of the configuration; a zone is added with `strongroom zone \
             add` while the server runs",
            spec.zone
        )));
    }
    let disks = Arc::new(Disks::new(handles, layout, Arc::new(Counters::default())));
    Ok(OpenStore {
        store: newest.store,
        run: run + 1,
        disks,
        zones: (newest.zones.into_iter())
            .filter(|zone| !zone.disks.is_empty())
            .collect(),
        options,
        random,
    })
}

/// The superblock whose layout counts: that of the highest promise (RFC 0010). A joining disk says
/// nothing about the store.
fn newest(specs: &[DiskSpec], found: &[Found]) -> Result<Superblock, OpenError> {
    let says = |f: &Found| match f {
        Found::Superblock(block) => match block.state {
            DiskState::Formed | DiskState::Replaced => Some(block.clone()),
            DiskState::Forming | DiskState::Joining => None,
        },
        _ => None,
    };
    let blocks = found.iter().filter_map(says);
    let newest =
        blocks.max_by_key(|block| (block.promise.generation, block.changes.number, block.run));
    newest.ok_or_else(|| {
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        OpenError::Refused(format!(
            "none of {} is a disk that was in service: add the folders of the other disks of the \
             store",
            names.join(", ")
        ))
    })
}

fn check_identity(
    spec: &DiskSpec,
    block: &Superblock,
    newest: &Superblock,
) -> Result<(), OpenError> {
    let refuse = |text: String| Err(OpenError::Refused(text));
    if block.store != newest.store {
        return refuse(format!(
            "{} belongs to another store ({}): take it out of the configuration",
            spec.name, block.store
        ));
    }
    if block.zone != spec.zone {
        return refuse(format!(
            "{} belongs to zone {} and is configured as zone {}: correct the label",
            spec.name, block.zone, spec.zone
        ));
    }
    let listed = newest
        .zones
        .iter()
        .any(|z| z.name == block.zone && z.disks.contains(&block.disk));
    if listed && block.state != DiskState::Replaced {
        return Ok(());
    }
    let layout = newest.layout();
    let successor = layout.successor_of(block.disk);
    refuse(match (block.state, layout.folder_of(successor)) {
        (DiskState::Joining, _) => format!(
            "{} was about to join the store when the server stopped: take it out of the \
             configuration, and give the command again when the server runs",
            spec.name
        ),
        (_, Some(folder)) if successor != block.disk => format!(
            "{} was replaced by the disk at {folder}: take it out and configure that one",
            spec.name
        ),
        _ if layout.drained_zone(block.disk).is_some() => format!(
            "{} was drained and removed from the store: take it out of the configuration",
            spec.name
        ),
        _ => format!("{} was replaced by another disk: take it out", spec.name),
    })
}

/// One handle per disk of the member list. A configured folder that is absent stands for a disk of
/// its zone that no present folder is, so that it can be probed again.
fn handles(
    block: &Superblock,
    present: &BTreeMap<DiskId, &DiskSpec>,
    absent: &mut [(&DiskSpec, String)],
) -> Vec<Arc<DiskHandle>> {
    let members = block.members();
    let mut used = vec![false; absent.len()];
    let mut handles = Vec::new();
    for (index, (zone, disks)) in members.iter().enumerate() {
        let member = MemberIndex(u16::try_from(index).expect("at most 64 members"));
        for id in disks {
            let (name, disk, out) = match present.get(id) {
                Some(spec) => (spec.name.clone(), Some(Arc::clone(&spec.disk)), None),
                None => {
                    let stand_in =
                        (0..absent.len()).find(|i| !used[*i] && absent[*i].0.zone == *zone);
                    match stand_in {
                        Some(i) => {
                            used[i] = true;
                            let (spec, why) = &absent[i];
                            let out = OutReason::Absent(why.clone());
                            (spec.name.clone(), Some(Arc::clone(&spec.disk)), Some(out))
                        }
                        None => {
                            let out = OutReason::Absent("no folder is configured for it".into());
                            (format!("disk {id:?}"), None, Some(out))
                        }
                    }
                }
            };
            handles.push(Arc::new(DiskHandle::new(
                *id,
                member,
                zone.clone(),
                name,
                disk,
                out,
            )));
        }
    }
    handles
}
