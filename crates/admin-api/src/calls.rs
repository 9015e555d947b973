//! The table of calls, and what is made from it.

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::client::{Client, Transport};
use crate::error::{ApiError, Result};
use crate::parameters;
use crate::route::Method;
use crate::wire::*;

/// One call, as the dispatch and the description see it.
pub struct Call {
    /// The method of [`AdminApi`], and the id of the operation in the description.
    pub name: &'static str,
    pub method: Method,
    /// Names in braces are parameters that stand in the path; all others stand in the query.
    pub path: &'static str,
    /// What it does: a sentence, then details.
    pub doc: &'static str,
    pub(crate) request: fn(&mut SchemaGenerator) -> Schema,
    pub(crate) answer: fn(&mut SchemaGenerator) -> Schema,
}

macro_rules! calls {
    ($(
        $(#[doc = $doc:literal])+
        $method:ident $path:literal => $name:ident($request:ty) -> $answer:ty;
    )+) => {
        /// What a server answers. Whoever calls it has been let in already.
        ///
        /// Every method may be called at once from many tasks. What it costs is bounded by the page
        /// that is asked for, unless it says otherwise. A dropped future leaves at most a part of
        /// the changes undone; each change by itself is atomic.
        ///
        /// # Errors
        /// `Unavailable` while the store is being opened or does not answer; `InvalidArgument` when
        /// a parameter has no meaning; what each method says.
        #[async_trait]
        pub trait AdminApi: Send + Sync + 'static {
            $( $(#[doc = $doc])+ async fn $name(&self, request: $request) -> Result<$answer>; )+
        }

        /// Every call.
        pub const CALLS: &[Call] = &[$( Call {
            name: stringify!($name),
            method: Method::$method,
            path: $path,
            doc: concat!($($doc, "\n"),+),
            request: <$request as JsonSchema>::json_schema,
            answer: |generator| generator.subschema_for::<$answer>(),
        }, )+];

        /// Runs `call` with the parameters of its path and query, form-encoded, and gives the
        /// answer as JSON.
        ///
        /// # Errors
        /// `InvalidArgument` when the parameters do not fit the call; what the call answers.
        pub async fn dispatch(api: &dyn AdminApi, call: &Call, query: &str) -> Result<Vec<u8>> {
            match call.name {
                $( stringify!($name) => {
                    let request: $request = parameters::read(query)?;
                    encode(&api.$name(request).await?)
                } )+
                other => Err(ApiError::internal(format!("no call has the name {other}"))),
            }
        }

        impl<T: Transport> Client<T> {
            $( $(#[doc = $doc])+
            ///
            /// # Errors
            /// What the server or the transport answers.
            pub async fn $name(
                &self,
                request: &$request,
            ) -> std::result::Result<$answer, T::Error> {
                self.call(Method::$method, $path, request).await
            } )+
        }
    };
}

fn encode<T: serde::Serialize>(answer: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(answer)
        .map_err(|error| ApiError::internal(format!("the answer does not encode: {error}")))
}

calls! {
    /// How the store is.
    ///
    /// Answers while the store is being opened too. A figure that a disk or the index does not give
    /// in time is absent.
    GET "/v1/status" => status(NoParameters) -> Status;

    /// The zones, in configured order, with the space of their disks added up.
    GET "/v1/zones" => zones(NoParameters) -> Zones;

    /// The disks, zone by zone.
    GET "/v1/disks" => disks(NoParameters) -> Disks;

    /// What the store stands on: the code of new blobs, and which folders share a device.
    ///
    /// Devices are looked up in the system anew at each call. What is missing there is absent.
    GET "/v1/topology" => topology(NoParameters) -> Topology;

    /// Puts a blank disk in the place of one that is out of service. `InvalidArgument` with what
    /// stands against it.
    ///
    /// When it is answered the change is durable. The next start needs the new folder among its
    /// flags. Nothing is erased on the old disk.
    POST "/v1/disks/replace" => replace_disk(ReplaceDiskRequest) -> DiskJoined;

    /// Adds a blank disk to a zone. `InvalidArgument` with what stands against it.
    ///
    /// When it is answered the change is durable. The next start needs the new folder among its
    /// flags.
    POST "/v1/disks/add" => add_disk(AddDiskRequest) -> DiskJoined;

    /// Begins to empty a disk that works: it takes no new shards, and those it has move to others of
    /// its zone. `InvalidArgument` with what stands against it.
    ///
    /// When it is answered the change is durable; the moves follow.
    POST "/v1/disks/drain" => drain_disk(DiskRequest) -> DiskChanged;

    /// Ends a drain: the disk takes shards again. What moved stays where it is.
    POST "/v1/disks/keep" => keep_disk(DiskRequest) -> DiskChanged;

    /// Takes a disk that was drained and is empty out of the store. `InvalidArgument` with what
    /// stands against it.
    ///
    /// When it is answered the change is durable. The next start must not name its folder. Nothing
    /// is erased on it.
    POST "/v1/disks/remove" => remove_disk(DiskRequest) -> DiskChanged;

    /// Adds a zone of blank disks. `InvalidArgument` with what stands against it.
    ///
    /// When it is answered the change is durable: its log and its index are copied and its shards
    /// written in the background. The next start needs the zone among its flags.
    POST "/v1/zones/add" => add_zone(AddZoneRequest) -> ZoneChanged;

    /// Begins to empty a zone: it takes no new shards, and what has some in it is written anew in the
    /// others. `InvalidArgument` with what stands against it.
    ///
    /// When it is answered the change is durable; the rest follows.
    POST "/v1/zones/drain" => drain_zone(ZoneRequest) -> ZoneChanged;

    /// Ends a drain: the zone takes shards again.
    POST "/v1/zones/keep" => keep_zone(ZoneRequest) -> ZoneChanged;

    /// Takes a zone that was drained out of the store, whether its disks are there or not, once no
    /// object has a shard in it. `InvalidArgument` with what stands against it.
    ///
    /// Looks at the record of every blob first. When it is answered the change is durable. The next
    /// start must not name the zone. Nothing is erased in it.
    POST "/v1/zones/remove" => remove_zone(ZoneRequest) -> ZoneChanged;

    /// A page of the buckets, in the order of their names, with what each holds.
    ///
    /// The counts are kept by the commits that change them: each bucket's are exact, and asking
    /// costs one record a bucket, whatever it holds.
    GET "/v1/buckets" => buckets(BucketsRequest) -> BucketPage;

    /// One bucket with what it holds. `NoSuchBucket`.
    GET "/v1/buckets/{bucket}" => bucket(BucketRequest) -> Bucket;

    /// A page of the incomplete multipart uploads of a bucket, in the order of their keys.
    /// `NoSuchBucket`.
    ///
    /// A page may be shorter than asked for when its uploads have many parts.
    GET "/v1/buckets/{bucket}/uploads" => uploads(UploadsRequest) -> UploadPage;

    /// Aborts one incomplete upload. `NoSuchBucket`, `NoSuchUpload`.
    ///
    /// Its parts are gone from every list at once.
    DELETE "/v1/buckets/{bucket}/uploads/{upload_id}" => abort_upload(AbortUploadRequest) -> Aborted;

    /// Looks at a page of incomplete uploads and aborts those that were started long ago.
    /// `NoSuchBucket`.
    ///
    /// Call it again with `next` until there is none. Uploads that their clients complete at the
    /// same moment are left to them.
    POST "/v1/buckets/{bucket}/uploads/abort" => abort_uploads(AbortUploadsRequest) -> Aborted;

    /// A page of the devices for MFA delete, in the order of accounts and serials. Secrets are not shown.
    GET "/v1/mfa/devices" => mfa_devices(MfaDevicesRequest) -> MfaDevicePage;

    /// Enrolls a device for MFA delete and gives its secret, this once. `InvalidArgument` when the account
    /// has it, or as many as it may have.
    ///
    /// It counts for nothing before `mfa_confirm`.
    POST "/v1/mfa/enroll" => mfa_enroll(MfaDeviceRequest) -> MfaEnrolled;

    /// Confirms a device by a first code of it, which is used up. `InvalidArgument` with the reason.
    POST "/v1/mfa/confirm" => mfa_confirm(MfaConfirmRequest) -> MfaChanged;

    /// Forgets a device. `InvalidArgument` when there is none.
    ///
    /// Without one an account can not delete versions where MFA delete is on, nor turn that off.
    POST "/v1/mfa/remove" => mfa_remove(MfaDeviceRequest) -> MfaChanged;

    /// Where the shards of an object are, part by part. `NoSuchBucket`, `NoSuchKey`,
    /// `NoSuchVersion`.
    ///
    /// Costs a read of the segment headers of each part; with `verify` it reads the whole part with
    /// its parity. Nothing is repaired.
    GET "/v1/where" => where_is(WhereRequest) -> ObjectPlaces;

    /// How what is stored stands, by the last walk over it, and how far repair is.
    GET "/v1/repair" => repair_status(NoParameters) -> RepairStatus;

    /// Bounds repair. Holds from its next batch on and over restarts.
    POST "/v1/repair" => repair_set(RepairSetRequest) -> RepairStatus;

    /// A page of what can not be read any more although no disk is out.
    ///
    /// Each of them can be deleted and overwritten; reads of it answer `500 XObjectLost`. A page may
    /// be shorter than asked for.
    GET "/v1/repair/lost" => repair_lost(LostRequest) -> LostPage;

    /// A page of the objects whose content is in a lost pack and can not be read.
    ///
    /// Reads the contents of lost packs to see. A page may be empty and not the last.
    GET "/v1/repair/lost/packed" => repair_lost_packed(LostPackedRequest) -> LostPackedPage;

    /// What would be left if zones or disks were lost for ever, all at once: of the service, and of a
    /// page of the contents.
    ///
    /// Made from the records and the map of segments: no blob is read, nothing is changed. Call it again
    /// with `next` until there is none, and add the levels up.
    GET "/v1/simulate" => simulate(SimulateRequest) -> Simulated;

    /// How far scrub is, and when it last read everything.
    GET "/v1/scrub" => scrub_status(NoParameters) -> ScrubStatus;

    /// Believes the server's clock, which is ahead of the time that can have passed, so that locks expire by
    /// it. `InvalidArgument` with what stands against it.
    ///
    /// Read the time elsewhere: what is confirmed can not be taken back. When it is answered it is durable.
    POST "/v1/lock/confirm-clock" => confirm_clock(ConfirmClockRequest) -> LockClock;

    /// Adds up what is locked until when among a page of the versions of a bucket. `NoSuchBucket`.
    ///
    /// Call it again with `next` until there is none, and add the pages up.
    GET "/v1/buckets/{bucket}/locks" => locks(LocksRequest) -> LocksPage;

    /// Begins a pass of scrub, or lets the one under way run as fast as clients allow.
    POST "/v1/scrub/start" => scrub_start(NoParameters) -> ScrubStatus;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_call_has_a_name_and_a_place_of_its_own() {
        let names: HashSet<_> = CALLS.iter().map(|call| call.name).collect();
        let places: HashSet<_> = CALLS.iter().map(|call| (call.method, call.path)).collect();
        assert_eq!((names.len(), places.len()), (CALLS.len(), CALLS.len()));
        for call in CALLS {
            assert!(call.path.starts_with("/v1/"), "{}", call.path);
        }
    }
}
