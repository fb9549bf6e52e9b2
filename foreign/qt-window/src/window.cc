#include "ropewalk-qt-window/src/window.h"

#include <QtWidgets/QApplication>
#include <QtWidgets/QLabel>
#include <QtWidgets/QPushButton>
#include <QtWidgets/QVBoxLayout>

#include "ropewalk-qt-window/src/main.rs.h"

namespace ropewalk {

namespace {

QString text_of(rust::Str text) {
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

}  // namespace

struct Window::Parts {
    explicit Parts(rust::Box<Buttoned> given) : application(count, names), buttoned(std::move(given)) {}

    int count = 1;
    char name[8] = "window";
    char* names[2] = {name, nullptr};
    QApplication application;
    rust::Box<Buttoned> buttoned;
    QWidget widget;
    QPushButton button{"Visit the page"};
    QLabel label;
    QPushButton close{"Close"};
};

Window::Window(rust::Box<Buttoned> buttoned, rust::Str text)
    : parts(std::make_unique<Parts>(std::move(buttoned))) {
    auto* layout = new QVBoxLayout(&parts->widget);
    parts->button.setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
    layout->addWidget(&parts->button);
    layout->addWidget(&parts->label, 0, Qt::AlignHCenter);
    layout->addWidget(&parts->close);
    parts->label.setText(text_of(text));
    QObject::connect(&parts->close, &QPushButton::clicked, &parts->widget, &QWidget::close);
    QObject::connect(&parts->button, &QPushButton::clicked, [this] { parts->buttoned->clicked(); });
    parts->widget.setWindowTitle("Ropewalk in Qt");
    parts->widget.resize(360, 240);
    parts->widget.show();
}

Window::~Window() {
    // They are parts, and no children that Qt may delete.
    parts->button.setParent(nullptr);
    parts->label.setParent(nullptr);
    parts->close.setParent(nullptr);
}

void Window::set_text(rust::Str text) const { parts->label.setText(text_of(text)); }

void Window::run() const { parts->application.exec(); }

std::unique_ptr<Window> open_window(rust::Box<Buttoned> buttoned, rust::Str text) {
    return std::make_unique<Window>(std::move(buttoned), text);
}

}  // namespace ropewalk
