"""Settings of the installation, read from the environment; a wrong value stops the start with a sentence.

Every variable is listed in `docs/reference/settings.md`. Secrets may also come from files: `NAME_FILE`.
"""

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import environ
import structlog
from django.core.exceptions import ImproperlyConfigured

from cordboard import postgres

env = environ.FileAwareEnv()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.str("CORDBOARD_DATA", default=str(BASE_DIR / "var"))).resolve()


def _data_file(name: str) -> str:
    """What `bin/run` left in the data folder, or nothing."""
    path = DATA_DIR / name
    return path.read_text().strip() if path.is_file() else ""


def _simulator_file() -> dict[str, str]:
    text = _data_file("simulator.json")
    return dict(json.loads(text)) if text else {}


# --- The installation

DEVELOPMENT = env.bool("CORDBOARD_DEVELOPMENT", default=False)
DEBUG = False
SECRET_KEY = env.str("CORDBOARD_SECRET_KEY", default="") or _data_file("secret_key")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "Set CORDBOARD_SECRET_KEY to a long random text, or start with bin/run, which makes one in the data folder."
    )
SECRET_KEY_FALLBACKS = env.list("CORDBOARD_OLD_SECRET_KEYS", default=[])

BASE_URL = env.str("CORDBOARD_BASE_URL", default=f"http://127.0.0.1:{env.int('CORDBOARD_PORT', default=8000)}").rstrip(
    "/"
)
_base = urlsplit(BASE_URL)
if _base.scheme not in {"http", "https"} or not _base.hostname:
    raise ImproperlyConfigured(f"CORDBOARD_BASE_URL must look like https://cordboard.example.com, not {BASE_URL!r}.")
HTTPS = _base.scheme == "https"
ALLOWED_HOSTS = env.list("CORDBOARD_ALLOWED_HOSTS", default=[_base.hostname, "127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = [f"{_base.scheme}://{_base.netloc}"]

WEB_THREADS = env.int("CORDBOARD_WEB_THREADS", default=8)
WORKER_CONCURRENCY = env.int("CORDBOARD_WORKER_CONCURRENCY", default=16)

# Dedicated lines that one organization may claim.
DEDICATED_LINES_PER_ORGANIZATION = env.int("CORDBOARD_DEDICATED_LINES_PER_ORGANIZATION", default=5)

# Seconds without a cause before a line that was worse is called healthy again.
LINE_CALM_SECONDS = env.float("CORDBOARD_LINE_CALM_SECONDS", default=300)

# Who is told of alerts about lines, besides the console.
ALERT_EMAILS = env.list("CORDBOARD_ALERT_EMAILS", default=[])
ALERT_WEBHOOK_URL = env.str("CORDBOARD_ALERT_WEBHOOK_URL", default="")
ALERT_WEBHOOK_SECRET = env.str("CORDBOARD_ALERT_WEBHOOK_SECRET", default="")
if ALERT_WEBHOOK_URL and not ALERT_WEBHOOK_SECRET.startswith("whsec_"):
    raise ImproperlyConfigured(
        "CORDBOARD_ALERT_WEBHOOK_SECRET must be set with CORDBOARD_ALERT_WEBHOOK_URL, and begin with whsec_."
    )
_mail = env.email_url("CORDBOARD_EMAIL_URL", default="consolemail://")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"] or "localhost", _mail["EMAIL_PORT"] or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"] or "", _mail["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.get("EMAIL_USE_TLS", False), _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("CORDBOARD_EMAIL_FROM", default="cordboard@localhost")

# Whether POST /api/v1/signing-keys with an admin key makes a key for the whole organization, as clients of June 2026
# expect, or answers 409 and names the route of an identity, as later ones do (contract/inkbox.md section 20, row 2).
ORGANIZATION_SIGNING_KEYS = env.bool("CORDBOARD_ORGANIZATION_SIGNING_KEYS", default=True)

# --- Applications

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "procrastinate.contrib.django",
    "channels",
    "django_htmx",
    "cordboard",
    "accounts",
    "events",
    "lines",
    "contactrules",
    "imessage",
    "webhooks",
    "api",
    "console",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "cordboard.apps.AdminConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

# All that the requests of programs need: the API's and providers' callbacks (cordboard/programs.py).
PROGRAM_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]

ROOT_URLCONF = "cordboard.urls"
APPEND_SLASH = False
ASGI_APPLICATION = "cordboard.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- PostgreSQL: DATABASE_URL, or the private server in the data folder

DATABASE_URL = env.str("DATABASE_URL", default="") or postgres.url(DATA_DIR)
_database = environ.Env.db_url_config(DATABASE_URL)
# A socket's folder is written as ?host=; Django wants it where it wants any host.
_database["HOST"] = _database.get("OPTIONS", {}).pop("host", "") or _database["HOST"]
_database["PORT"] = _database.get("OPTIONS", {}).pop("port", "") or _database["PORT"]
if _database["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database: postgres://user:password@host/name.")
DATABASES = {
    "default": _database
    | {
        "ENGINE": "core.database",
        # Persistent connections, one per web thread; a checked one survives a restart of the server.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 3, "application_name": "cordboard", **_database.get("OPTIONS", {})},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Jobs

PROCRASTINATE_AUTODISCOVER_MODULE_NAME = "jobs"
PROCRASTINATE_IMPORT_PATHS = ["cordboard.jobs"]

# Seconds after which an unknown outcome is looked up again (contract/lines.md 2.7).
FIND_SENT_WAITS = [float(wait) for wait in env.list("CORDBOARD_FIND_SENT_WAITS", default=["5", "30", "125"])]

# Texts that may wait for one line; more are refused, for they would come too late to be worth anything.
LINE_QUEUE_LIMIT = env.int("CORDBOARD_LINE_QUEUE_LIMIT", default=1500)

# --- The pool

# Whether a human without any other line may get one that is degraded or nearly full.
POOL_LAST_RESORT = env.bool("CORDBOARD_POOL_LAST_RESORT", default=False)
# How long a connect waits for a line, in seconds, before the router apologises.
CONNECT_PATIENCE = env.float("CORDBOARD_CONNECT_PATIENCE", default=600)
# Whether humans of a line that was retired, or flagged for a day, are moved without an operator's word.
MOVE_STRANDED = env.bool("CORDBOARD_MOVE_STRANDED", default=True)

# --- Calls to addresses that tenants name

# Hosts, addresses and networks of the operator's own that tenants may have called, over plain http too.
INTERNAL_HOSTS = [host.strip() for host in env.list("CORDBOARD_INTERNAL_HOSTS", default=[]) if host.strip()]
OUTBOUND_PORTS = [int(port) for port in env.list("CORDBOARD_OUTBOUND_PORTS", default=["443"])]

# --- Live pages

CHANNEL_LAYER_URL = env.str("CHANNEL_LAYER_URL", default="")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [CHANNEL_LAYER_URL]},
    }
    if CHANNEL_LAYER_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}
}

# --- The simulated phone network

_simulator = _simulator_file()
SIMULATOR_URL = env.str("SIMULATOR_URL", default=_simulator.get("url", ""))
SIMULATOR_PROVIDER_TOKEN = env.str("SIMULATOR_PROVIDER_TOKEN", default=_simulator.get("provider_token", ""))
SIMULATOR_CONTROL_TOKEN = env.str("SIMULATOR_CONTROL_TOKEN", default=_simulator.get("control_token", ""))

# --- People and sessions

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "accounts.members.ClosedSignupAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
# Deeds that change who can reach an agent ask again who is there (console/friction.py).
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/console/"
LOGOUT_REDIRECT_URL = "/accounts/login/"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cordboard_cache",
    }
}
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "session"
CSRF_FAILURE_VIEW = "cordboard.errors.csrf_failed"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"

# --- Security headers (console.md 4.7)

SECURE_SSL_REDIRECT = env.bool("CORDBOARD_SSL_REDIRECT", default=HTTPS)
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^callbacks/"]
if env.bool("CORDBOARD_BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "media-src": ["'self'"],
        "font-src": ["'self'"],
        "connect-src": ["'self'", f"{'wss' if HTTPS else 'ws'}://{_base.netloc}"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_HANDLERS = [
    "core.uploads.BoundedUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

# --- Media

# Bytes that the files of one organization may take, bytes of one file from a human, days a link stays good.
MEDIA_QUOTA = env.int("CORDBOARD_MEDIA_QUOTA_MB", default=1024) * 1024**2
INBOUND_MEDIA_LIMIT = env.int("CORDBOARD_INBOUND_MEDIA_MB", default=25) * 1024**2
MEDIA_LINK_DAYS = env.int("CORDBOARD_MEDIA_LINK_DAYS", default=7)

# --- Static files, language, logs

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    # Any storage of Django's kind; its options are a JSON object.
    "media": {
        "BACKEND": env.str("CORDBOARD_MEDIA_STORAGE", default="django.core.files.storage.FileSystemStorage"),
        "OPTIONS": env.json(
            "CORDBOARD_MEDIA_STORAGE_OPTIONS",
            default={
                "location": str(DATA_DIR / "media"),
                "file_permissions_mode": 0o600,
                "directory_permissions_mode": 0o700,
            },
        ),
    },
}
LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        # One line a record: the sentence, then what its `extra` carries.
        "line": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": [
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.format_exc_info,
            ],
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "logger", "event"]),
            ],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": sys.stderr, "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("CORDBOARD_LOG_LEVEL", default="INFO")},
    "loggers": {
        "procrastinate": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
    },
}
