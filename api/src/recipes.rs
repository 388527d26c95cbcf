//! What points each SDK at this server: lines for a shell, where lines that are no settings are comments.

/// A client that there is a recipe for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sdk {
    /// As in `tintype sdk NAME`.
    pub name: &'static str,
    pub title: &'static str,
    /// Whether the tests of this program run this client; the others are known from their sources.
    pub tested: bool,
    form: Form,
    /// What has to be known where the server speaks http.
    plain: &'static [&'static str],
    /// What has to be known where it speaks https.
    tls: &'static [&'static str],
}

/// How a client takes its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `CLOUDINARY_URL` with these parameters for http and for https; `{base}` and `{host}` are replaced.
    Url { plain: &'static str, tls: &'static str },
    /// One variable a setting.
    Variables,
    /// A line of a program without credentials.
    Code { plain: &'static str, tls: &'static str },
}

const PUBLIC_AUTHORITIES: &str =
    "The certificate must be one of a public authority: this client trusts certifi's list alone.";

/// Every client, in the order in which they are listed.
pub const SDKS: &[Sdk] = &[
    Sdk {
        name: "python",
        title: "Python (pip install cloudinary)",
        tested: true,
        form: Form::Url {
            plain: "upload_prefix={base}&cname={host}",
            tls: "upload_prefix={base}&secure=true&secure_distribution={host}",
        },
        plain: &["Add no secure=...: any text there, false too, makes https addresses of pictures."],
        tls: &[PUBLIC_AUTHORITIES],
    },
    Sdk {
        name: "node",
        title: "Node.js (npm install cloudinary)",
        tested: true,
        form: Form::Url {
            plain: "upload_prefix={base}&cname={host}&urlAnalytics=false",
            tls: "upload_prefix={base}&secure_distribution={host}&urlAnalytics=false",
        },
        plain: &[
            "Set it before the SDK is loaded: it chooses between http and https once.",
            "Addresses of pictures are https unless every call says otherwise: cloudinary.url(id, { secure: false }).",
        ],
        tls: &[
            "Set it before the SDK is loaded.",
            "With an authority of your own also: export NODE_EXTRA_CA_CERTS=/path/of/authority.pem",
        ],
    },
    Sdk {
        name: "cli",
        title: "cloudinary-cli (pip install cloudinary-cli)",
        tested: true,
        form: Form::Variables,
        plain: &["`cld url` makes https addresses unless CLOUDINARY_SECURE is false."],
        tls: &[PUBLIC_AUTHORITIES],
    },
    Sdk {
        name: "ruby",
        title: "Ruby (gem install cloudinary)",
        tested: false,
        form: Form::Variables,
        plain: &[],
        tls: &[],
    },
    Sdk {
        name: "php",
        title: "PHP (composer require cloudinary/cloudinary_php)",
        tested: false,
        form: Form::Url {
            plain: "api[upload_prefix]={base}&url[cname]={host}&url[secure]=false",
            tls: "api[upload_prefix]={base}&url[secure_cname]={host}",
        },
        plain: &[],
        tls: &[],
    },
    Sdk {
        name: "java",
        title: "Java (com.cloudinary:cloudinary-http5)",
        tested: false,
        form: Form::Url {
            plain: "upload_prefix={base}&cname={host}",
            tls: "upload_prefix={base}&secure=true&secure_distribution={host}",
        },
        plain: &[],
        tls: &[],
    },
    Sdk {
        name: "go",
        title: "Go (github.com/cloudinary/cloudinary-go/v2)",
        tested: false,
        form: Form::Url {
            plain: "upload_prefix={base}&cname={host}&secure=false",
            tls: "upload_prefix={base}&secure_cname={host}",
        },
        plain: &[],
        tls: &[],
    },
    Sdk {
        name: "url-gen",
        title: "@cloudinary/url-gen (addresses of pictures in browsers; no secret)",
        tested: false,
        form: Form::Code {
            plain: "new Cloudinary({ cloud: { cloudName: '{cloud}' }, url: { secure: false, cname: '{host}' } })",
            tls: "new Cloudinary({ cloud: { cloudName: '{cloud}' }, url: { secureDistribution: '{host}' } })",
        },
        plain: &[],
        tls: &[],
    },
];

/// What a recipe is about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The public address of the server, without a slash at the end.
    pub base: &'a str,
    pub cloud: &'a str,
    pub key: &'a str,
    /// `None` hides it.
    pub secret: Option<&'a str>,
}

/// Stands for a secret that is not shown.
const HIDDEN: &str = "API_SECRET";

/// The client of that name.
pub fn find(name: &str) -> Option<&'static Sdk> {
    SDKS.iter().find(|sdk| sdk.name == name)
}

impl Sdk {
    /// The lines that a shell can take over.
    pub fn recipe(&self, target: &Target<'_>) -> String {
        let (scheme, host) = target.base.split_once("://").unwrap_or(("http", target.base));
        let tls = scheme == "https";
        let secret = target.secret.unwrap_or(HIDDEN);
        let filled =
            |text: &str| text.replace("{base}", target.base).replace("{host}", host).replace("{cloud}", target.cloud);
        let mut lines = vec![format!("# {}", self.title)];
        if !self.tested {
            lines.push("# Known from its sources: no test of this server runs it.".to_owned());
        }
        match self.form {
            Form::Url { plain, tls: encrypted } => {
                lines.push("# Where CLOUDINARY_CLOUD_NAME is set, CLOUDINARY_URL is ignored.".to_owned());
                lines.push("unset CLOUDINARY_CLOUD_NAME".to_owned());
                let parameters = filled(if tls { encrypted } else { plain });
                let url = format!("cloudinary://{}:{secret}@{}?{parameters}", target.key, target.cloud);
                lines.push(format!("export CLOUDINARY_URL='{url}'"));
            }
            Form::Variables => {
                let mut set = |name: &str, value: &str| lines.push(format!("export CLOUDINARY_{name}='{value}'"));
                set("CLOUD_NAME", target.cloud);
                set("API_KEY", target.key);
                set("API_SECRET", secret);
                set("UPLOAD_PREFIX", target.base);
                set(if tls { "SECURE_DISTRIBUTION" } else { "CNAME" }, host);
                set("SECURE", if tls { "true" } else { "false" });
            }
            Form::Code { plain, tls: encrypted } => {
                lines.push(format!("# {}", filled(if tls { encrypted } else { plain })));
            }
        }
        lines.extend((if tls { self.tls } else { self.plain }).iter().map(|line| format!("# {line}")));
        lines.join("\n")
    }

    fn needs_secret(&self) -> bool {
        !matches!(self.form, Form::Code { .. })
    }
}

/// The recipe of one client, or all of them, and how to see the secret.
pub fn text(only: Option<&Sdk>, target: &Target<'_>) -> String {
    let chosen: Vec<&Sdk> = only.map_or_else(|| SDKS.iter().collect(), |sdk| vec![sdk]);
    let mut parts: Vec<String> = chosen.iter().map(|sdk| sdk.recipe(target)).collect();
    if target.secret.is_none() && chosen.iter().any(|sdk| sdk.needs_secret()) {
        parts.push(format!("# In the place of {HIDDEN} belongs the secret of the key, which --with-secret shows."));
    }
    if only.is_none() {
        parts.push(
            "# Provisioning: CLOUDINARY_ACCOUNT_URL as `tintype provision-key` prints it, and upload_prefix as above."
                .to_owned(),
        );
    }
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PLAIN: Target<'_> = Target { base: "http://127.0.0.1:8080", cloud: "demo", key: "42", secret: Some("hush") };

    #[test]
    fn every_client_is_told_where_the_server_is() {
        for sdk in SDKS {
            for base in ["http://127.0.0.1:8080", "https://img.example.com/x"] {
                let recipe = sdk.recipe(&Target { base, ..PLAIN });
                let host = base.split_once("://").unwrap().1;
                assert!(recipe.contains(host) && recipe.contains("demo"), "{recipe}");
                assert!(!recipe.contains(['{', '}']) || matches!(sdk.form, Form::Code { .. }) || sdk.name == "node");
                assert_eq!(recipe.contains("hush"), sdk.needs_secret(), "{recipe}");
            }
            assert_eq!(find(sdk.name), Some(sdk));
        }
        assert_eq!(find("cobol"), None);
    }

    #[test]
    fn a_recipe_is_lines_for_a_shell() {
        let recipe = find("python").unwrap().recipe(&PLAIN);
        let url = "cloudinary://42:hush@demo?upload_prefix=http://127.0.0.1:8080&cname=127.0.0.1:8080";
        assert!(recipe.contains(&format!("\nexport CLOUDINARY_URL='{url}'\n")), "{recipe}");
        for sdk in SDKS {
            for line in sdk.recipe(&PLAIN).lines() {
                assert!(line.starts_with("# ") || line.starts_with("export ") || line.starts_with("unset "), "{line}");
            }
        }
    }

    #[test]
    fn the_secret_is_shown_only_where_it_is_given() {
        let hidden = Target { secret: None, ..PLAIN };
        let all = text(None, &hidden);
        assert!(!all.contains("hush") && all.contains("--with-secret") && all.contains("provision-key"), "{all}");
        assert!(!text(find("url-gen"), &hidden).contains("--with-secret"));
        assert!(!text(find("go"), &PLAIN).contains("--with-secret"));
    }
}
