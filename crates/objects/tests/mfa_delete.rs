//! MFA delete: what needs a second factor, and a code that works once.

mod common;

use common::{START, World, bucket, key};
use strongroom_objects::records::{MfaDeviceRecord, keys};
use strongroom_objects::{
    DeleteKey, DeleteObject, DeleteObjects, Error, MfaSerial, Objects, Result, SecondFactor,
    Settings, Versioning, VersioningChange, totp,
};
use strongroom_types::{Owner, VersionId};

const STEP_NANOS: u64 = totp::STEP_SECONDS * 1_000_000_000;

fn owner() -> Owner {
    Owner::new("owner").unwrap()
}

fn serial() -> MfaSerial {
    MfaSerial::new("phone").unwrap()
}

fn factor(code: String) -> SecondFactor {
    SecondFactor {
        serial: serial(),
        code,
    }
}

/// The code that the device shows, or would `shift` steps from now.
async fn code(world: &World, shift: i64) -> String {
    let devices: Vec<MfaDeviceRecord> = world.family(&keys::mfa_devices_of(&owner())).await;
    let step = totp::step_at(strongroom_base::Clock::now(&*world.clock));
    totp::code_of(&devices[0].secret, step.saturating_add_signed(shift))
}

fn next_step(world: &World) {
    world
        .clock
        .advance(std::time::Duration::from_nanos(STEP_NANOS));
}

/// A handle with a good code of a new step.
async fn proven(world: &World) -> Objects {
    next_step(world);
    let given = factor(code(world, 0).await);
    let name = bucket("bucket");
    let with = world.objects.with_second_factor(&name, &given).await;
    with.unwrap()
}

async fn set(objects: &Objects, versioning: Versioning, mfa_delete: Option<bool>) -> Result<()> {
    let change = VersioningChange {
        versioning,
        mfa_delete,
    };
    let name = bucket("bucket");
    objects.change_bucket_versioning(&name, change).await
}

async fn state(world: &World) -> (Versioning, Option<bool>) {
    let name = bucket("bucket");
    world.objects.bucket_versioning_state(&name).await.unwrap()
}

/// A bucket whose owner has a confirmed device.
async fn world() -> World {
    let world = World::with_bucket().await;
    let enrolled = world.objects.enroll_mfa_device(&owner(), &serial()).await;
    let enrolled = enrolled.unwrap();
    assert!(
        enrolled
            .uri
            .ends_with(&format!("?secret={}&issuer=Strongroom", enrolled.secret))
    );
    let first = factor(code(&world, 0).await);
    let confirmed = world.objects.confirm_mfa_device(&owner(), &first).await;
    confirmed.unwrap();
    world
}

async fn protected() -> World {
    let world = world().await;
    let with = proven(&world).await;
    set(&with, Versioning::Enabled, Some(true)).await.unwrap();
    world
}

async fn delete(objects: &Objects, id: Option<VersionId>) -> Result<()> {
    let request = DeleteObject {
        bucket: bucket("bucket"),
        key: key("k"),
        version_id: id,
        if_match: None,
        bypass: Default::default(),
    };
    objects.delete_object(request).await.map(|_| ())
}

async fn delete_many(objects: &Objects, keys: &[(&str, Option<VersionId>)]) -> Result<usize> {
    let keys = keys.iter().map(|(name, version_id)| DeleteKey {
        key: key(name),
        version_id: *version_id,
        if_match: None,
    });
    let request = DeleteObjects {
        bucket: bucket("bucket"),
        keys: keys.collect(),
        bypass: Default::default(),
    };
    let answers = objects.delete_objects(request).await?;
    Ok(answers.iter().filter(|answer| answer.is_ok()).count())
}

#[tokio::test]
async fn only_the_owners_second_factor_turns_it_on_and_off() {
    // MF01, MF02
    let world = world().await;
    let enabled = Versioning::Enabled;
    assert_eq!(
        set(&world.objects, enabled, Some(true)).await,
        Err(Error::AccessDenied)
    );
    set(&world.objects, enabled, Some(false)).await.unwrap();
    assert_eq!(state(&world).await, (enabled, None));
    let with = proven(&world).await;
    set(&with, enabled, Some(true)).await.unwrap();
    assert_eq!(state(&world).await, (enabled, Some(true)));
    for (versioning, mfa_delete) in [
        (Versioning::Suspended, None),
        (enabled, None),
        (enabled, Some(true)),
        (enabled, Some(false)),
    ] {
        let refused = set(&world.objects, versioning, mfa_delete).await;
        assert_eq!(refused, Err(Error::AccessDenied));
    }
    let with = proven(&world).await;
    set(&with, Versioning::Suspended, None).await.unwrap();
    assert_eq!(state(&world).await, (Versioning::Suspended, Some(true)));
    let with = proven(&world).await;
    set(&with, enabled, Some(false)).await.unwrap();
    assert_eq!(state(&world).await, (enabled, Some(false)));
    set(&world.objects, Versioning::Suspended, None)
        .await
        .unwrap();
    world.check().await;
}

#[tokio::test]
async fn a_device_of_another_account_proves_nothing() {
    // MF01
    let world = protected().await;
    let other = world.objects.acting_for(Owner::new("other").unwrap());
    next_step(&world);
    let given = factor(code(&world, 0).await);
    let refused = other.with_second_factor(&bucket("bucket"), &given).await;
    assert_eq!(refused.err(), Some(Error::AccessDenied));
}

#[tokio::test]
async fn a_version_goes_only_with_a_second_factor_and_all_else_without() {
    // MF02
    let world = protected().await;
    let id = world.put("k", b"one").await.unwrap().version_id;
    world.put("k", b"two").await.unwrap();
    delete(&world.objects, None).await.unwrap();
    assert_eq!(delete(&world.objects, id).await, Err(Error::AccessDenied));
    let unknown = Some(VersionId::Null);
    assert_eq!(
        delete(&world.objects, unknown).await,
        Err(Error::AccessDenied)
    );
    delete(&proven(&world).await, id).await.unwrap();
    assert_eq!(delete(&world.objects, id).await, Err(Error::AccessDenied));
    world.check().await;
}

#[tokio::test]
async fn deletes_of_many_keys_fail_as_a_whole() {
    // MF03: also the groups of a request that name no version.
    let world = protected().await;
    let id = world.put("k", b"one").await.unwrap().version_id;
    world.put("simple", b"two").await.unwrap();
    let names: Vec<String> = (0..150).map(|index| format!("k{index}")).collect();
    let mut many: Vec<_> = names.iter().map(|name| (&**name, None)).collect();
    many.push(("simple", None));
    many.push(("k", id));
    let refused = delete_many(&world.objects, &many).await;
    assert_eq!(refused, Err(Error::AccessDenied));
    assert_eq!(world.get("simple").await.unwrap(), b"two");
    assert_eq!(
        delete_many(&world.objects, &[("simple", None)]).await,
        Ok(1)
    );
    let with = proven(&world).await;
    assert_eq!(delete_many(&with, &[("k", id)]).await, Ok(1));
}

#[tokio::test]
async fn a_code_works_once_also_after_a_restart_and_for_two_at_once() {
    // MF05
    let world = protected().await;
    next_step(&world);
    let name = bucket("bucket");
    let given = factor(code(&world, 0).await);
    let (one, two) = tokio::join!(
        world.objects.with_second_factor(&name, &given),
        world.objects.with_second_factor(&name, &given),
    );
    assert_eq!(
        [one.is_ok(), two.is_ok()]
            .iter()
            .filter(|is_ok| **is_ok)
            .count(),
        1
    );
    let again = Objects::new(
        world.meta.clone(),
        world.blobs.clone(),
        world.clock.clone(),
        std::sync::Arc::new(strongroom_base::SeededRandom::new(2)),
        Settings::default(),
    );
    let replayed = again.with_second_factor(&name, &given).await;
    assert_eq!(replayed.err(), Some(Error::AccessDenied));
    let before = factor(code(&world, -1).await);
    let earlier = again.with_second_factor(&name, &before).await;
    assert_eq!(earlier.err(), Some(Error::AccessDenied));
    let next = factor(code(&world, 1).await);
    assert!(again.with_second_factor(&name, &next).await.is_ok());
}

#[tokio::test]
async fn wrong_codes_silence_the_device_and_a_right_one_counts_anew() {
    // MF05
    let world = world().await;
    let name = bucket("bucket");
    let present = async |code: String| {
        let given = factor(code);
        world
            .objects
            .with_second_factor(&name, &given)
            .await
            .is_ok()
    };
    next_step(&world);
    for _ in 0..4 {
        assert!(!present("x".to_owned()).await);
    }
    assert!(present(code(&world, 0).await).await);
    next_step(&world);
    for _ in 0..5 {
        assert!(!present("x".to_owned()).await);
    }
    assert!(!present(code(&world, 0).await).await);
    next_step(&world);
    next_step(&world);
    assert!(!present("x".to_owned()).await);
    for _ in 0..3 {
        next_step(&world);
        assert!(!present(code(&world, 0).await).await);
    }
    next_step(&world);
    assert!(present(code(&world, 0).await).await);
    let devices = world.objects.list_mfa_devices(None, 10).await.unwrap();
    assert_eq!(devices.devices[0].wrong_codes, 0);
}

#[tokio::test]
async fn a_device_counts_from_its_first_code_until_it_is_removed() {
    // MF05
    let world = World::with_bucket().await;
    let (objects, name) = (&world.objects, bucket("bucket"));
    objects
        .enroll_mfa_device(&owner(), &serial())
        .await
        .unwrap();
    let again = objects.enroll_mfa_device(&owner(), &serial()).await;
    assert!(matches!(again.err(), Some(Error::InvalidRequest { .. })));
    let given = factor(code(&world, 0).await);
    assert!(objects.with_second_factor(&name, &given).await.is_err());
    let wrong = objects
        .confirm_mfa_device(&owner(), &factor("000".into()))
        .await;
    assert!(matches!(wrong, Err(Error::InvalidRequest { .. })));
    objects.confirm_mfa_device(&owner(), &given).await.unwrap();
    assert!(objects.with_second_factor(&name, &given).await.is_err());
    assert!(objects.confirm_mfa_device(&owner(), &given).await.is_err());
    proven(&world).await;
    next_step(&world);
    let given = factor(code(&world, 0).await);
    objects
        .remove_mfa_device(&owner(), &serial())
        .await
        .unwrap();
    assert!(objects.with_second_factor(&name, &given).await.is_err());
    assert!(
        objects
            .remove_mfa_device(&owner(), &serial())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_account_has_a_bounded_number_of_devices_and_lists_come_in_pages() {
    // MF05
    let world = World::new();
    let other = Owner::new("other").unwrap();
    let named = |index: usize| MfaSerial::new(&format!("d{index}")).unwrap();
    for index in 0..8 {
        let enrolled = world
            .objects
            .enroll_mfa_device(&owner(), &named(index))
            .await;
        enrolled.unwrap();
    }
    let more = world.objects.enroll_mfa_device(&owner(), &named(8)).await;
    assert!(matches!(more.err(), Some(Error::InvalidRequest { .. })));
    world
        .objects
        .enroll_mfa_device(&other, &named(8))
        .await
        .unwrap();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = world
            .objects
            .list_mfa_devices(after.as_ref(), 4)
            .await
            .unwrap();
        assert!(page.devices.len() <= 4);
        assert!(
            page.devices
                .iter()
                .all(|device| device.enrolled == START && !device.confirmed)
        );
        found.extend(
            page.devices
                .into_iter()
                .map(|device| (device.owner, device.serial)),
        );
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut expected: Vec<_> = (0..8).map(|index| (owner(), named(index))).collect();
    expected.insert(0, (other.clone(), named(8)));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let mut sorted = found.clone();
    sorted.sort_by(|a, b| (&a.0, a.1.as_str()).cmp(&(&b.0, b.1.as_str())));
    assert_eq!((found, sorted.len()), (sorted.clone(), expected.len()));
    for text in ["", "a b", "ä", &"a".repeat(65)] {
        assert!(MfaSerial::new(text).is_err(), "{text}");
    }
}
