//! Root changes who may do what, all the time.

use super::rights::{Model, ROLES, USERS, permission};
use super::*;
use drystone_api::authpb::permission::Type;
use rand::Rng;

/// How many requests come between two changes, at most.
const PACE: usize = 30;
/// Changes before anybody asks, so that there are rights to use and to lose.
const FIRST: usize = 40;
const POLL: Duration = Duration::from_millis(1);

pub(super) fn role_name(role: usize) -> String {
    format!("role-{role}")
}

/// Root, when the first rights are given.
pub(super) async fn begin(world: Arc<World>, random: &mut StdRng) -> Root {
    let mut root = Root {
        auth: AuthClient::new(world.channel.clone()),
        token: world.token(Who::Root).await,
        model: Model::new(),
        turn: 0,
        world,
    };
    for _ in 0..FIRST {
        root.step(random).await;
    }
    root
}

/// Changes rights for as long as somebody asks.
pub(super) async fn change(mut root: Root, mut random: StdRng) {
    loop {
        let next = root.world.asked.load(Ordering::Relaxed) + random.random_range(0..PACE);
        loop {
            let asked = root.world.asked.load(Ordering::Relaxed);
            if asked >= root.world.requests || root.world.found.lock().len() >= FOUND_MAX {
                return;
            }
            if asked >= next {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        root.step(&mut random).await;
        count(&root.world.seen.changes);
    }
}

pub(super) struct Root {
    world: Arc<World>,
    auth: AuthClient<Channel>,
    token: Option<String>,
    model: Model,
    turn: usize,
}

impl Root {
    fn by<T>(&self, message: T) -> Request<T> {
        by(self.token.as_deref(), message)
    }

    /// From here on the model's rights may be in force.
    fn begin(&self) {
        self.world.rights.ask_for(&self.model, &self.world.marks);
    }

    async fn step(&mut self, random: &mut StdRng) {
        let (role, user) = (random.random_range(0..ROLES), random.random_range(0..USERS));
        match random.random_range(0..20) {
            0..6 => self.grant(role, random).await,
            6..11 => self.revoke(role, random).await,
            11..15 => self.join(user, role).await,
            15..17 => self.part(user, role).await,
            17 => self.password(user).await,
            18 => self.anew(user).await,
            _ => self.role_anew(role).await,
        }
        self.world.rights.answer();
    }

    async fn grant(&mut self, role: usize, random: &mut StdRng) {
        let perm = permission(random, &self.world.marks);
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let ends = (text(&perm.key), text(&perm.range_end));
        let kind = Type::try_from(perm.perm_type).unwrap();
        self.model.roles[role].insert(ends, kind);
        self.begin();
        let name = role_name(role);
        let asked = self.by(AuthRoleGrantPermissionRequest { name, perm: Some(perm) });
        self.auth.role_grant_permission(asked).await.unwrap();
    }

    async fn revoke(&mut self, role: usize, random: &mut StdRng) {
        let given = self.model.roles[role].len();
        if given == 0 {
            return;
        }
        let given = self.model.roles[role].keys().nth(random.random_range(0..given));
        let (key, end) = given.unwrap().clone();
        self.model.roles[role].remove(&(key.clone(), end.clone()));
        self.begin();
        let asked = self.by(AuthRoleRevokePermissionRequest {
            role: role_name(role),
            key: key.into(),
            range_end: end.into(),
        });
        self.auth.role_revoke_permission(asked).await.unwrap();
    }

    async fn join(&mut self, user: usize, role: usize) {
        self.model.users[user].insert(role);
        self.begin();
        let (user, role) = (user_name(user), role_name(role));
        let asked = self.by(AuthUserGrantRoleRequest { user, role });
        self.auth.user_grant_role(asked).await.unwrap();
    }

    async fn part(&mut self, user: usize, role: usize) {
        if !self.model.users[user].remove(&role) {
            return;
        }
        self.begin();
        let (name, role) = (user_name(user), role_name(role));
        let asked = self.by(AuthUserRevokeRoleRequest { name, role });
        self.auth.user_revoke_role(asked).await.unwrap();
    }

    async fn password(&mut self, user: usize) {
        self.turn += 1;
        let password = self.world.marks.password(user, self.turn);
        let asked = self.by(AuthUserChangePasswordRequest {
            name: user_name(user),
            password: password.clone(),
            ..Default::default()
        });
        self.auth.user_change_password(asked).await.unwrap();
        self.world.passwords.lock()[user] = password;
    }

    /// A user goes, and another one of that name comes, who has nothing.
    async fn anew(&mut self, user: usize) {
        self.model.users[user].clear();
        self.begin();
        let name = user_name(user);
        let asked = self.by(AuthUserDeleteRequest { name: name.clone() });
        self.auth.user_delete(asked).await.unwrap();
        let password = self.world.passwords.lock()[user].clone();
        let asked = self.by(AuthUserAddRequest { name, password, ..Default::default() });
        self.auth.user_add(asked).await.unwrap();
    }

    async fn role_anew(&mut self, role: usize) {
        self.model.roles[role].clear();
        for roles in &mut self.model.users {
            roles.remove(&role);
        }
        self.begin();
        let asked = self.by(AuthRoleDeleteRequest { role: role_name(role) });
        self.auth.role_delete(asked).await.unwrap();
        let asked = self.by(AuthRoleAddRequest { name: role_name(role) });
        self.auth.role_add(asked).await.unwrap();
    }
}
