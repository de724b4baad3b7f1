//! Compose files as people have them.

use super::*;

/// Files as people have them: each becomes a spec that the reader takes, and what could not be carried is said.
#[test]
fn compose_files_of_the_wild_make_specs() {
    let wild = [
        ("elastic", include_str!("../testdata/elastic.yml")),
        ("gitlab-runner", include_str!("../testdata/gitlab-runner.yml")),
        ("minio", include_str!("../testdata/minio.yml")),
        ("monitoring", include_str!("../testdata/monitoring.yml")),
        ("nextcloud", include_str!("../testdata/nextcloud.yml")),
        ("portainer", include_str!("../testdata/portainer.yml")),
        ("postgres", include_str!("../testdata/postgres.yml")),
        ("traefik", include_str!("../testdata/traefik.yml")),
        ("vote", include_str!("../testdata/vote.yml")),
        ("wordpress", include_str!("../testdata/wordpress.yml")),
    ];
    let mut told = String::new();
    for (name, yaml) in wild {
        let mut value: Value = serde_saphyr::from_str(yaml).unwrap();
        crate::cli::import::fill_in(&mut value, &BTreeMap::new(), "").unwrap();
        let folder = std::path::Path::new("/srv/stack");
        let file = File { value: &value, shown: name, folder, customer: name, env: &BTreeMap::new() };
        let imported = File::finish(file.draft().unwrap(), &BTreeMap::new()).unwrap();
        let customer = parsed(name, &imported.spec);
        let services = value["services"].as_object().unwrap();
        assert_eq!(customer.services.len(), services.len(), "{}", imported.spec);
        told += &format!("--- {name}\n{}\n", imported.notes.join("\n"));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn secrets_of_a_compose_file_are_named_and_never_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "hunter2").unwrap();
    let yaml = "
services:
  web:
    image: web:1.0.0
    secrets: [token, {source: shared, target: key, uid: '7', mode: 0440}]
    configs: [{source: motd, target: /etc/motd, mode: '0400'}]
    env_file: [./web.env, {path: ../all.env, required: false}]
secrets:
  token: {file: ./token}
  shared: {external: {name: theirs}}
  vault: {driver: vault, driver_opts: {path: x}}
configs: {motd: {file: etc/motd}}
";
    let value: Value = serde_saphyr::from_str(yaml).unwrap();
    let env = BTreeMap::new();
    let file = File { value: &value, shown: "a.yml", folder: dir.path(), customer: "acme", env: &env };
    let imported = File::finish(file.draft().unwrap(), &BTreeMap::new()).unwrap();
    assert!(!imported.spec.contains("hunter2"), "{}", imported.spec);
    let folder = dir.path().display().to_string();
    insta::assert_snapshot!(
        imported.spec.replace(&folder, "/srv/acme").replace("/tmp/all.env", "/srv/all.env")
    );
    let web = &parsed("acme", &imported.spec).services["web"].compose;
    let modes: Vec<u32> =
        web.secrets.iter().chain(&web.configs).flatten().map(|reference| reference.mode).collect();
    assert_eq!(modes, [0o444, 0o440, 0o400]);
}
