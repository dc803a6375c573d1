"""`python -m services.router`: serve until told to stop."""

from libs.service.run import serve
from services.router.app import RouterSettings, make_app

if __name__ == "__main__":
    settings = RouterSettings.read()
    serve(make_app(settings), settings)
