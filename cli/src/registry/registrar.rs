//! Registers devices, moves them, changes their certificates and takes them out of service: changes registry, stream
//! and the folder of keys in such an order that the next run continues one that was interrupted anywhere.
//!
//! The stream knows a device before the device can connect; a certificate is activated last, and deactivated first.
//! `plan` decides what has to change.

use fleetform_generator::platform::Platform;

use super::{
    Thing,
    keys::{Files, Keys},
    plan::{self, Held, Names, Wanted},
    port::{Certificate, Change, Created, CreatedWithKey, Registry, Status, Step, id_of},
    request,
};
use crate::terminal::Stop;

/// How long a withdrawn certificate is kept, inactive.
const OLD_CERTIFICATE_DAYS: u64 = 7;

/// Who makes the key of a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyMaker<'r> {
    /// This command, unless the key is here already.
    Here,
    /// The device, which made this request.
    Device(&'r str),
    /// AWS, for labs.
    Aws,
}

impl<'r> KeyMaker<'r> {
    /// Chosen by the arguments: the device's own request, or a key made by AWS.
    pub(crate) fn of(request: Option<&'r str>, is_aws: bool) -> Self {
        match request {
            Some(request) => Self::Device(request),
            None if is_aws => Self::Aws,
            None => Self::Here,
        }
    }
}

/// Registers devices of one environment.
pub(crate) struct Registrar<R> {
    pub(crate) registry: R,
    pub(crate) keys: Keys,
    pub(crate) names: Names,
    /// The telemetry stream's name: a different one needs every record again.
    pub(crate) stream: String,
    /// Whether nothing is to be changed.
    pub(crate) dry_run: bool,
    pub(crate) now_ms: fn() -> u64,
    pub(crate) say: Box<dyn Fn(String)>,
}

impl<R: Registry> Registrar<R> {
    /// Registers a device, or changes its type, zone or attributes, and gives it a certificate unless it has one. One
    /// that was revoked is put back into service only with `reinstate`.
    pub(crate) async fn add(&self, wanted: &Wanted, maker: KeyMaker<'_>, reinstate: bool) -> Result<(), Stop> {
        let device = wanted.device.as_str();
        self.keys.of(device).check_key()?;
        let thing = self.thing(device).await?;
        if !reinstate {
            self.check_in_service(device, thing.as_ref())?;
        }
        let files = self.keys.of(device);
        self.check_certificate(device, &files).await?;
        if thing.is_some() && !files.has("arn") && !self.registry.certificates(device).await?.is_empty() {
            return Err(Stop::failed(format_args!(
                "{device} already has a certificate, which is not in {}",
                self.keys.folder()
            ))
            .help("give its folder with --keys, add another with `rotate`, or change the zone with `move`"));
        }
        let groups = self.groups(device, thing.as_ref()).await?;
        let now = (self.now_ms)();
        self.make(plan::register(&self.names, &self.stream, wanted, (thing.as_ref(), &groups), now)).await?;
        self.certify(device, &wanted.device_type, &files, maker).await
    }

    /// Moves a device to another zone. Its certificate stays.
    pub(crate) async fn relocate(&self, platform: &Platform, device: &str, zone: &str) -> Result<(), Stop> {
        let thing = self.registered(device).await?;
        self.check_in_service(device, Some(&thing))?;
        let wanted = Wanted::told(&thing).ok_or_else(|| never_told(device))?.moved(platform, zone);
        let wanted = wanted.map_err(|problem| Stop::bad_input(format_args!("{device}: {problem}")))?;
        let groups = self.registry.groups(device).await?;
        let now = (self.now_ms)();
        self.make(plan::register(&self.names, &self.stream, &wanted, (Some(&thing), &groups), now)).await?;
        self.conclude(format!("{device} is in {zone}"));
        Ok(())
    }

    /// Gives a device a second certificate.
    pub(crate) async fn rotate(&self, device: &str, maker: KeyMaker<'_>) -> Result<(), Stop> {
        self.keys.next(device).check_key()?;
        let thing = self.registered(device).await?;
        self.check_in_service(device, Some(&thing))?;
        let count = self.registry.certificates(device).await?.len();
        let next = self.keys.next(device);
        if !next.has("arn") && count > 1 {
            return Err(Stop::failed(format_args!("{device} already has {count} certificates"))
                .help("rotate it with --finish once it has connected with the newer one"));
        }
        self.check_certificate(device, &next).await?;
        let device_type = thing.attribute("type").ok_or_else(|| never_told(device))?;
        self.certify(device, device_type, &next, maker).await?;
        self.conclude(format!(
            "give {device} the certificate {}, and run this with --finish once it has connected with it",
            next.path("crt")
        ));
        Ok(())
    }

    /// Withdraws the first certificate of a device that has two; a week later, deletes it.
    pub(crate) async fn finish(&self, device: &str) -> Result<(), Stop> {
        let thing = self.registered(device).await?;
        self.check_in_service(device, Some(&thing))?;
        let (files, next) = (self.keys.of(device), self.keys.next(device));
        let Some(arn) = next.arn()? else { return self.delete_old(device, &files).await };
        let all = self.registry.certificates(device).await?;
        if next.has("pending") || !all.contains(&arn) {
            return Err(Stop::failed(format_args!("{device} does not have the certificate {}", next.path("crt")))
                .help("first complete the rotation without --finish"));
        }
        let old: Vec<String> = all.into_iter().filter(|other| *other != arn).collect();
        self.keep_old(&files, &old)?;
        for arn in &old {
            self.silence(device, arn).await?;
        }
        if self.dry_run {
            return Ok(());
        }
        for end in ["key", "csr", "crt"] {
            next.give(end, &files)?;
        }
        // Last: as long as it is there, an interrupted run starts here again.
        next.give("arn", &files)?;
        self.conclude(format!(
            "{device} has one certificate; run this again in {OLD_CERTIFICATE_DAYS} days to delete the inactive one"
        ));
        Ok(())
    }

    /// Withdraws all certificates of a device, and ends its alerts. Returns those that it had, if it is registered.
    pub(crate) async fn revoke(&self, device: &str) -> Result<Option<Vec<String>>, Stop> {
        let Some(thing) = self.thing(device).await? else {
            (self.say)(format!("{device} is not registered: nothing to revoke"));
            return Ok(None);
        };
        let held = self.registry.certificates(device).await?;
        let files = self.keys.of(device);
        if !self.dry_run {
            // A rotation in progress is over.
            files.remove("pending")?;
            self.keys.next(device).remove("pending")?;
        }
        self.keep_old(&files, &held)?;
        for arn in &held {
            self.silence(device, arn).await?;
        }
        // There is nothing to retract for a device without a record on the stream.
        if let Some(told) = Wanted::told(&thing) {
            let now = (self.now_ms)();
            self.make(plan::tell(&self.names, &self.stream, &told.retired(), Some(&thing), now)).await?;
        }
        self.conclude(format!("{device} is revoked"));
        Ok(Some(held))
    }

    /// Revokes a device, and deletes its certificates and its thing.
    pub(crate) async fn remove(&self, device: &str) -> Result<(), Stop> {
        let Some(mut arns) = self.revoke(device).await? else { return Ok(()) };
        let files = self.keys.of(device);
        arns.extend(files.arn()?);
        arns.extend(self.keys.next(device).arn()?);
        arns.extend(files.read("old")?.unwrap_or_default().lines().map(str::to_owned));
        self.discard(arns).await?;
        self.make(vec![Change::DeleteThing { device: device.to_owned() }]).await?;
        self.conclude(format!("{device} is removed; its files are still in {}", self.keys.folder()));
        Ok(())
    }

    async fn thing(&self, device: &str) -> Result<Option<Thing>, Stop> {
        let thing = self.registry.thing(device).await?;
        if let Some(thing) = thing.as_ref().filter(|thing| !self.names.has(thing)) {
            let named = thing.thing_type.as_deref().unwrap_or_default();
            return Err(Stop::failed(format_args!(
                "thing {device} is of type {named}, which {} does not have",
                self.names.stack
            ))
            .help("it belongs to something else"));
        }
        Ok(thing)
    }

    async fn registered(&self, device: &str) -> Result<Thing, Stop> {
        let thing = self.thing(device).await?;
        thing.ok_or_else(|| Stop::failed(format_args!("{device} is not registered")).help("add it first"))
    }

    /// A revoked device stays revoked unless `reinstate` is given.
    fn check_in_service(&self, device: &str, thing: Option<&Thing>) -> Result<(), Stop> {
        if thing.is_some_and(Thing::is_retired) {
            return Err(Stop::failed(format_args!("{device} was revoked"))
                .help("to put it back into service: `fleetform devices add` with --reinstate"));
        }
        Ok(())
    }

    async fn groups(&self, device: &str, thing: Option<&Thing>) -> Result<Vec<String>, Stop> {
        match thing {
            Some(_) => Ok(self.registry.groups(device).await?),
            None => Ok(Vec::new()),
        }
    }

    /// A withdrawn certificate is never put back by accident: it was withdrawn for a reason. Nor is a certificate
    /// accepted that belongs to another key.
    async fn check_certificate(&self, device: &str, files: &Files) -> Result<(), Stop> {
        let (Some(pem), Some(arn)) = (files.read("crt")?, files.arn()?) else { return Ok(()) };
        if let Some(key) = files.read("key")? {
            let of_key = request::of_key(&key).map_err(|error| unusable_key(files, &error))?;
            if request::of_certificate(&pem) != Some(of_key) {
                return Err(Stop::failed(format_args!(
                    "the key {} does not belong to the certificate {}",
                    files.path("key"),
                    files.path("crt")
                ))
                .help("put the right files there, or give another folder with --keys"));
            }
        }
        let status = self.registry.certificate(&arn).await?.map(|certificate| certificate.status);
        match status {
            Some(Status::Active) => Ok(()),
            Some(Status::Inactive) if files.has("pending") => Ok(()),
            Some(Status::Inactive | Status::Revoked | Status::Waiting | Status::Elsewhere) | None => {
                let [crt, arn, key, csr] = ["crt", "arn", "key", "csr"].map(|end| files.path(end));
                Err(Stop::failed(format_args!("the certificate of {device} in {crt} was withdrawn")).help(
                    format_args!(
                        "delete {crt} and {arn}, and also {key} and {csr} if the key may be known to others; then run this again for a new one"
                    ),
                ))
            }
        }
    }

    /// Request, certificate and ARN in their files, and the key unless the device made it; then the certificate is put into service.
    async fn certify(&self, device: &str, device_type: &str, files: &Files, maker: KeyMaker<'_>) -> Result<(), Stop> {
        let is_made = files.has("crt") && files.has("arn");
        if self.dry_run {
            if !is_made || files.has("pending") {
                (self.say)(format!(
                    "would make a certificate for {device} in {}, attach {} and the thing, and activate it",
                    files.path("crt"),
                    self.names.policies_of(device_type).join(" ")
                ));
                return Ok(());
            }
        } else if !is_made {
            self.create(device, files, maker).await?;
        }
        let arn = files.arn()?.expect("it is made");
        let held = self.held(device, &arn).await?;
        let held = held.ok_or_else(|| Stop::failed(format_args!("certificate {} is gone", id_of(&arn))))?;
        self.make(plan::speak(&self.names, device, device_type, &held)).await?;
        if self.dry_run { Ok(()) } else { files.remove("pending") }
    }

    async fn create(&self, device: &str, files: &Files, maker: KeyMaker<'_>) -> Result<(), Stop> {
        self.keys.make()?;
        // While the request is still the one of the interrupted run.
        if files.has("pending") {
            self.remove_orphans(files).await?;
        }
        let created = match maker {
            KeyMaker::Aws => self.create_with_key(files).await?,
            KeyMaker::Here => self.create_for_request(device, files, None).await?,
            KeyMaker::Device(request) => self.create_for_request(device, files, Some(request)).await?,
        };
        files.write("arn", &format!("{}\n", created.arn))?;
        files.write("crt", &created.pem)?;
        (self.say)(format!("certificate {} of {device} is created", id_of(&created.arn)));
        Ok(())
    }

    /// A certificate of a key that AWS makes. The key is in its file first: it does not come twice.
    async fn create_with_key(&self, files: &Files) -> Result<Created, Stop> {
        // A request that is here belongs to another key.
        files.remove("csr")?;
        files.write("pending", "")?;
        let CreatedWithKey { created, key } = self.registry.create_keys_and_certificate().await?;
        if request::of_key(&key).ok().is_none_or(|key| request::of_certificate(&created.pem) != Some(key)) {
            return Err(Stop::failed("AWS IoT answered with a key that is not the certificate's"));
        }
        files.write("key", &key)?;
        Ok(created)
    }

    /// A certificate for a request: the device's own, or one made of the key that is here.
    async fn create_for_request(&self, device: &str, files: &Files, own: Option<&str>) -> Result<Created, Stop> {
        if let Some(own) = own {
            files.write("csr", own)?;
        } else if !files.has("csr") || files.has("key") {
            let key = match files.read("key")? {
                Some(key) => key,
                None => {
                    let key = request::new_key(self.names.key).map_err(Stop::failed)?;
                    files.write("key", &key)?;
                    key
                }
            };
            let request = request::new_request(&key, device).map_err(|error| unusable_key(files, &error))?;
            files.write("csr", &request)?;
        }
        let request = files.read("csr")?.unwrap_or_default();
        // Until it is active, a file marks it as pending.
        files.write("pending", "")?;
        let created = self.registry.create_certificate(&request).await?;
        if request::of_certificate(&created.pem) != request::of_request(&request) {
            return Err(Stop::failed("AWS IoT answered with the certificate of another key"));
        }
        Ok(created)
    }

    /// Deletes certificates of this key that an interrupted run made and did not record.
    async fn remove_orphans(&self, files: &Files) -> Result<(), Stop> {
        let key = match (files.read("csr")?, files.read("key")?) {
            (Some(request), _) => request::of_request(&request),
            // A key that AWS made, and that was stored here before the run was interrupted.
            (None, Some(key)) => request::of_key(&key).ok(),
            (None, None) => {
                let lost = "an interrupted run may have left behind an inactive certificate of a key that AWS made and that was \
                            never stored here: it cannot be told from others, and cannot be used";
                (self.say)(lost.to_owned());
                None
            }
        };
        let Some(key) = key else { return Ok(()) };
        for arn in self.registry.inactive().await? {
            let found = self.registry.certificate(&arn).await?;
            if found.and_then(|found| request::of_certificate(&found.pem)).as_ref() == Some(&key) {
                self.registry.take(&Change::DeleteCertificate { certificate: arn.clone() }.into()).await?;
                (self.say)(format!("certificate {}, left behind by an interrupted run, is deleted", id_of(&arn)));
            }
        }
        Ok(())
    }

    async fn held(&self, device: &str, arn: &str) -> Result<Option<Held>, Stop> {
        let Some(Certificate { status, .. }) = self.registry.certificate(arn).await? else { return Ok(None) };
        let policies = self.registry.policies(arn).await?;
        let is_attached = self.registry.certificates(device).await?.iter().any(|held| held == arn);
        Ok(Some(Held { arn: arn.to_owned(), status, policies, is_attached }))
    }

    async fn silence(&self, device: &str, arn: &str) -> Result<(), Stop> {
        if let Some(held) = self.held(device, arn).await? {
            self.make(plan::silence(device, &held)).await?;
        }
        Ok(())
    }

    /// Keeps the ARNs of certificates before they are withdrawn: afterwards they are recorded nowhere else.
    fn keep_old(&self, files: &Files, arns: &[String]) -> Result<(), Stop> {
        let known = files.read("old")?.unwrap_or_default();
        let new: Vec<String> = arns.iter().filter(|arn| !known.lines().any(|line| line == *arn)).cloned().collect();
        if self.dry_run || new.is_empty() {
            return Ok(());
        }
        self.keys.make()?;
        files.add_lines("old", &new)
    }

    /// Deletes certificates that a rotation withdrew, once they can no longer be needed.
    async fn delete_old(&self, device: &str, files: &Files) -> Result<(), Stop> {
        let Some(old) = files.read("old")? else {
            (self.say)(format!("{device} has no second certificate: nothing to finish"));
            return Ok(());
        };
        if files.age("old").is_none_or(|age| age.as_secs() < OLD_CERTIFICATE_DAYS * 86_400) {
            (self.say)(format!(
                "the previous certificate of {device} is inactive; this command deletes it after {OLD_CERTIFICATE_DAYS} days"
            ));
            return Ok(());
        }
        self.discard(old.lines().map(str::to_owned).collect()).await?;
        if self.dry_run { Ok(()) } else { files.remove("old") }
    }

    /// Deletes those of the certificates that still exist.
    async fn discard(&self, mut arns: Vec<String>) -> Result<(), Stop> {
        arns.sort_unstable();
        arns.dedup();
        for arn in arns {
            if let Some(found) = self.registry.certificate(&arn).await? {
                self.make(plan::discard(&found)).await?;
            }
        }
        Ok(())
    }

    async fn make<S: Into<Step>>(&self, steps: Vec<S>) -> Result<(), Stop> {
        for step in steps.into_iter().map(S::into) {
            if self.dry_run {
                (self.say)(format!("would {step}"));
            } else {
                self.registry.take(&step).await?;
                (self.say)(format!("done: {step}"));
            }
        }
        Ok(())
    }

    fn conclude(&self, text: String) {
        if !self.dry_run {
            (self.say)(text);
        }
    }
}

fn never_told(device: &str) -> Stop {
    Stop::failed(format_args!("{device} has no record on the stream")).help("add it again")
}

fn unusable_key(files: &Files, error: &str) -> Stop {
    Stop::failed(format_args!("cannot use the key {}: {error}", files.path("key")))
}
