//! What two roles of one user come to.
//!
//! `cargo run -p drystone-auth --example roles`

use drystone_auth::{Auth, Identity, Need, Permission, PermissionKind};
use drystone_backend::Batch;
use drystone_types::KeyRange;
use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    let (mut auth, mut batch) = (Auth::default(), Batch::new());
    for user in ["root", "ada"] {
        auth.add_user(&mut batch, user, None, true)?;
    }
    auth.grant_role(&mut batch, "root", "root")?;
    for (role, key, end) in [("early", "a", "m"), ("late", "m", "p")] {
        auth.add_role(&mut batch, role)?;
        let range = Permission::new(PermissionKind::Read, key, end);
        auth.grant_permission(&mut batch, role, range)?;
        auth.grant_role(&mut batch, "ada", role)?;
    }
    auth.enable(&mut batch)?;

    let ada = Identity { user: "ada".to_owned(), revision: auth.revision() };
    for (key, end) in [("b", ""), ("b", "n"), ("a", "p"), ("a", "q"), ("o", "\0")] {
        let answer = auth.decide(Some(&ada), &[Need::Read(KeyRange::from_fields(key, end))]);
        let answer = answer.map_or_else(|denied| denied.to_string(), |()| "yes".to_owned());
        writeln!(out, "may ada read {key:?}..{end:?}? {answer}")?;
    }
    auth.revoke_role(&mut batch, "ada", "late")?;
    let late = auth.decide(Some(&ada), &[Need::Read(KeyRange::key("b"))]);
    writeln!(out, "and with what was known before a role was taken: {late:?}")?;
    writeln!(out, "{} records changed", batch.changes().len())?;
    Ok(())
}
